// The live page: one WebSocket brings pictures and measurements, see docs/live.md.
import { Controls } from "./controls.js";
import { Detections, Events, showStatus } from "./lists.js";
import { Plots } from "./plots.js";
import { Streams } from "./streams.js";

const byId = (id) => document.getElementById(id);
const state = byId("state");
const controls = new Controls(byId);
const detections = new Detections(byId, (label) => controls.color(label));
const events = new Events(byId);
const plots = new Plots(byId("plots"));
const streams = new Streams(byId("streams"), (message) => send(message));

let socket = null;
let waitSeconds = 0.5;
let lastStatus = 0;

function send(message) {
  if (socket && socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message));
}

function say(text, kind) {
  state.textContent = text;
  state.className = `pill ${kind}`;
}

function connect() {
  const address = new URL("ws", location.href);
  address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
  address.search = address.hash = "";
  socket = new WebSocket(address);
  socket.binaryType = "arraybuffer";
  socket.onopen = async () => {
    waitSeconds = 0.5;
    await controls.load();
    streams.watch();
  };
  socket.onmessage = ({ data }) => (typeof data === "string" ? hear(JSON.parse(data)) : see(data));
  socket.onclose = () => {
    say("connection lost", "bad");
    streams.lost();
    setTimeout(reconnect, waitSeconds * 1000);
    waitSeconds = Math.min(waitSeconds * 2, 10);
  };
}

async function reconnect() {
  // After a restart another token may be needed: then the server answers 401, and the page asks for it.
  try {
    const answer = await fetch("api/status");
    if (answer.status === 401) return location.reload();
  } catch {
    // No answer yet: connecting fails too and is tried again at growing intervals.
  }
  connect();
}

function see(buffer) {
  const length = new DataView(buffer).getUint32(0);
  const record = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  streams.draw(record, new Uint8Array(buffer, 4 + length));
  detections.show(record);
}

function hear(message) {
  if (message.type === "history") return plots.begin(message.samples);
  lastStatus = performance.now();
  const lost = message.streams.filter((stream) => !stream.connected).length;
  if (lost) say(lost === message.streams.length ? "camera away" : `${lost} away`, "bad");
  else say("live", "live");
  streams.describe(message.streams);
  controls.follow(message.controls, message.frames_with);
  if (message.sample) plots.add(message.sample);
  events.add(message.events);
  showStatus(byId, message);
}

setInterval(() => {
  if (lastStatus && performance.now() - lastStatus > 5000) say("no answer", "bad");
}, 1000);

// A hidden page needs no pictures.
document.addEventListener("visibilitychange", () => streams.watch());

const theme = localStorage.getItem("edgessd-theme");
if (theme) document.documentElement.dataset.theme = theme;
byId("theme").addEventListener("click", () => {
  const root = document.documentElement;
  const dark = root.dataset.theme
    ? root.dataset.theme === "dark"
    : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  localStorage.setItem("edgessd-theme", root.dataset.theme);
});

connect();
