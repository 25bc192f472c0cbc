// Shows what the running program says of itself, and says so when it hears nothing any more.
// Text goes into the page as text alone: what a row is called can be no markup.
import { Chart, clock } from "/chart.js";

const SILENCE = 5; // seconds; a program that runs is heard of every two
const STATES = { armed: "good", placed: "good", blind: "bad", uncertain: "bad", waiting: "bad", refused: "bad", "not armed": "bad" };
const LEVELS = { WARNING: "warn", ERROR: "bad", CRITICAL: "bad" };
const VERBS = {
  armed: ["disarm", "fire"], blind: ["disarm", "fire"], placed: ["cancel"],
  disabled: ["arm"], closed: ["arm"], "not armed": ["arm"],
};
const find = (id) => document.getElementById(id);

const charts = new Map();
const events = new Map();
let mayAct = false;
let heardAt = 0, newest = null, source = null, spoken = "";

function say(node, text, style = "") {
  if (node.textContent !== text) node.textContent = text;
  if (node.className !== style) node.className = style;
}

const percent = (value) => (value === null ? "" : `${value.toFixed(2)} %`);
const proof = (row) => (row.age === null ? "" : `${row.source}, ${row.age.toFixed(1)} s ago`);

// A table is changed where it differs alone, so that a screen reader or a selection stays where it is.
function fill(body, rows) {
  while (body.rows.length > rows.length) body.deleteRow(-1);
  rows.forEach((cells, n) => {
    const line = body.rows[n] ?? body.insertRow();
    const heads = body.closest("table").tHead.rows[0].cells;
    cells.forEach(([text, style = ""], column) => {
      let cell = line.cells[column];
      if (!cell) {
        cell = line.insertCell();
        cell.dataset.head = heads[column].textContent;
        cell.append(document.createElement("span"));
      }
      const wanted = `${style} ${text ? "" : "empty"} ${heads[column].className}`.trim();
      if (cell.className !== wanted) cell.className = wanted;
      if (cell.firstChild.textContent !== text) cell.firstChild.textContent = text;
    });
  });
}

// The numbers of the snapshot are exact; behind the point a person reads no zeros at the end.
function digits(text) {
  return text?.includes(".") ? text.replace(/\.?0+$/, "") : text ?? "";
}

function showTables({ rows, orders, left_out: left, mode }) {
  say(find("stops-title"), mode === "PAPER" ? "Stops on paper" : "Stops at Kraken");
  fill(find("row-list"), rows.map((row) => [
    [row.id], [row.state, `state ${STATES[row.state] ?? "dim"}`], [row.pair], [row.condition],
    [digits(row.price)], [percent(row.away)], [proof(row)], [row.detail || row.action],
  ]));
  if (mayAct) offer(rows);
  say(find("left-out"), left ? `and ${left} more rows` : "");
  find("stops").hidden = !orders.length;
  fill(find("stop-list"), orders.map((order) => [
    [order.row], [digits(order.stop) || "not told yet", order.is_triggered ? "warn" : "good"], [percent(order.away)],
    [digits(order.best)], [order.told_by ?? ""], [order.txid], [order.action],
  ]));
}

// What may be done with a row stands behind what it would do; each is asked about before it is done.
function offer(rows) {
  rows.forEach((row, n) => {
    const cell = find("row-list").rows[n].cells[7];
    const verbs = VERBS[row.state] ?? [];
    let box = cell.querySelector(".acts");
    if (!box) {
      box = document.createElement("span");
      box.className = "acts";
      cell.append(box);
    }
    const key = `${row.id} ${verbs.join()}`;
    if (box.dataset.key === key) return;
    box.dataset.key = key;
    box.replaceChildren(...verbs.map((verb) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = verb;
      button.setAttribute("aria-label", `${verb} ${row.id}`);
      button.addEventListener("click", () => act(verb, row.id));
      return button;
    }));
  });
}

async function send(wish) {
  const answer = await fetch("/act", {
    method: "POST",
    headers: { "Content-Type": "application/json", "X-TTSLO": "1" },
    body: JSON.stringify(wish),
  });
  const text = await answer.text();
  return answer.ok ? JSON.parse(text) : { text };
}

async function act(verb, row) {
  const dialog = find("ask"), asked = await send({ verb, row });
  say(find("question"), asked.text);
  find("yes").hidden = !asked.code;
  dialog.returnValue = "";
  dialog.showModal();
  await new Promise((closed) => dialog.addEventListener("close", closed, { once: true }));
  if (dialog.returnValue !== "yes" || !asked.code) return;
  say(find("done"), `${verb} ${row} ...`);
  const answer = await send({ verb, row, code: asked.code });
  say(find("done"), answer.text, answer.done ? "good" : "bad");
}

function showEvents(told) {
  let isNew = false;
  for (const event of told) {
    const key = `${event.at} ${event.text}`;
    if (!events.has(key)) { events.set(key, event); isNew = true; }
  }
  if (!isNew) return;
  while (events.size > 200) events.delete(events.keys().next().value);
  const lines = [...events.values()].sort((a, b) => b.at - a.at).map((event) => {
    const line = document.createElement("li"), time = document.createElement("time");
    time.dateTime = new Date(event.at * 1000).toISOString();
    time.textContent = clock(event.at);
    line.className = LEVELS[event.level] ?? "";
    line.append(time, event.text);
    return line;
  });
  find("events").replaceChildren(...lines);
}

function showCharts(told) {
  for (const [pair, chart] of Object.entries(told)) {
    if (!charts.has(pair)) {
      charts.set(pair, new Chart(pair));
      find("charts").append(charts.get(pair).figure);
    }
    charts.get(pair).take(chart);
  }
  for (const [pair, chart] of charts) if (!(pair in told)) chart.take({ points: [], levels: [], stops: {}, marks: [] });
}

function showHead() {
  if (newest === null) return;
  const { status, snapshot } = newest;
  const silent = (Date.now() - heardAt) / 1000;
  const isLost = silent > SILENCE || source === null || source.readyState !== EventSource.OPEN;
  const text = snapshot.phase === "stopped"
    ? `NOT RUNNING: it was stopped at ${clock(snapshot.written_at)}`
    : isLost
    ? `NO WORD from the program since ${clock(heardAt / 1000)}: it ended, or the way to it is cut. What follows is old`
    : status.text;
  say(find("verdict"), text, isLost || status.code !== 0 ? "bad" : "good");
  // Read aloud when it becomes another, and not with each second that goes by.
  const state = `${isLost} ${status.word} ${status.text.replace(/[\d.]+/g, "")}`;
  if (state !== spoken) { spoken = state; say(find("spoken"), text, "spoken"); }
  say(find("mode"), snapshot.mode, ["LIVE", "LEADS"].includes(snapshot.mode) ? "real" : "rehearsal");
  const link = snapshot.link === "none" ? "prices over REST only" : `stream ${snapshot.link}`;
  const frame = snapshot.frame_age === null || isLost ? "" : `, last frame ${snapshot.frame_age.toFixed(1)} s ago`;
  say(find("about"), `${snapshot.exchange}; ${snapshot.armed} armed; ${link}${frame}; ${snapshot.config}; ttslo ${snapshot.version}`);
  say(find("spread"), isLost ? "" : newest.spread, newest.is_torn ? "bad" : "dim");
  document.title = `${isLost || status.code !== 0 ? "(!) " : ""}TTSLO ${snapshot.mode}`;
}

function take(message) {
  heardAt = Date.now();
  newest = message;
  showHead();
  showTables(message.snapshot);
  showCharts(message.charts);
  showEvents(message.snapshot.events);
}

function listen() {
  source = new EventSource("/events");
  source.addEventListener("actions", () => { mayAct = true; });
  source.onmessage = (event) => take(JSON.parse(event.data));
  source.onerror = () => {
    showHead();
    if (source.readyState !== EventSource.CLOSED) return; // it tries again by itself
    setTimeout(listen, 2000);
  };
}

setInterval(showHead, 1000);
listen();
