// The frame around the views: which one is shown, how the gateway is reached, and what is the same everywhere.

import * as api from "./api.js";
import { askToken, toast } from "./dialogs.js";
import { fill, h, icon, setText } from "./dom.js";
import { clock, countdown, moment } from "./format.js";
import * as live from "./live.js";
import { route } from "./router.js";
import { store, watch } from "./store.js";
import { client } from "./views/client.js";
import { clients } from "./views/clients.js";
import { overview } from "./views/overview.js";
import { strangers } from "./views/strangers.js";
import { topics } from "./views/topics.js";
import { upkeep } from "./views/upkeep.js";

const VIEWS = { overview, clients, strangers, topics, upkeep };

const at = (id) => document.getElementById(id);
const main = at("main");
let view = null;
let shown = null;

function show() {
  const here = route();
  const name = here.name in VIEWS ? here.name : "overview";
  const make = name === "clients" && here.id !== null ? client : VIEWS[name];
  view?.close?.();
  view = make(here);
  fill(main, view.element);
  main.className = `view-${make.name}`;
  document.title = `${view.title} · ${store.status?.name ?? "mqtt-sn-gateway"}`;
  for (const link of document.querySelectorAll("nav a")) {
    if (link.hash.slice(2) === (name === "overview" ? "" : name)) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  // Who hears the page hears where they are; who sees it begins at the top.
  if (shown !== null) {
    scrollTo(0, 0);
    main.querySelector("h1")?.focus({ preventScroll: true });
  }
  shown = location.hash;
  live.follow(view.follow);
}

const CONNECTION = {
  starting: ["Connecting", "connecting"],
  live: ["Live", "active"],
  polling: ["Every 5 s", "active"],
  away: ["Gateway away", "bad"],
  refused: ["Refused", "bad"],
  locked: ["Locked", "asleep"],
};

function connection(state) {
  const [word, shape] = CONNECTION[state.name];
  const pill = at("connection");
  if (pill.dataset.state !== state.name) {
    pill.dataset.state = state.name;
    fill(pill, icon(shape), h("span", null, word));
  }
  const gone = state.name === "away" || state.name === "refused";
  document.body.classList.toggle("stale", gone);
  banner(gone ? state : null);
}

function banner(state) {
  const place = at("banner");
  place.hidden = state === null;
  if (state === null) return;
  const seen = store.seen ? ` What you see is from ${clock(store.seen)}.` : "";
  setText(at("banner-text"), `${state.detail}${seen}`);
  const wait = state.retryAt - Date.now();
  setText(at("banner-wait"), wait > 500 ? `Next try in ${countdown(wait)}` : "Trying …");
}

function about() {
  const { status } = store;
  setText(at("gateway-name"), status?.name ?? location.host);
  if (status) {
    const text = `mqtt-sn-gateway ${status.version}, running since ${moment(Date.parse(status.started))}`;
    setText(at("about"), text);
    document.title = `${view.title} · ${status.name}`;
  }
}

const THEMES = { "": ["as the system", "auto"], light: ["light", "sun"], dark: ["dark", "moon"] };

function theme(next) {
  const root = document.documentElement;
  if (next !== undefined) {
    if (next) root.dataset.theme = next;
    else delete root.dataset.theme;
    try {
      localStorage.setItem("theme", next);
    } catch {
      // It lasts as long as the tab then.
    }
  }
  const [word, symbol] = THEMES[root.dataset.theme ?? ""];
  fill(at("theme"), icon(symbol));
  at("theme").setAttribute("aria-label", `Theme: ${word}`);
  at("theme").title = `Theme: ${word}`;
}

at("theme").addEventListener("click", () => {
  const order = Object.keys(THEMES);
  theme(order[(order.indexOf(document.documentElement.dataset.theme ?? "") + 1) % order.length]);
});

at("retry").addEventListener("click", () => live.restart());

at("skip").addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});

document.addEventListener("keydown", (event) => {
  if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest("input, select, textarea, dialog")) return;
  event.preventDefault();
  const search = main.querySelector("input[type=search]");
  if (search) search.focus();
  else location.hash = "#/clients?focus=search";
});

addEventListener("hashchange", show);
addEventListener("unhandledrejection", (event) => {
  // What a person has asked for and did not get; that the gateway is away is said by the banner.
  if (event.reason instanceof api.Refused && event.reason.status !== 401) {
    event.preventDefault();
    toast(event.reason.message, "bad");
  } else if (event.reason instanceof api.Away || event.reason instanceof api.Refused || event.reason?.name === "AbortError") {
    event.preventDefault();
  }
});
setInterval(() => {
  view?.tick?.(api.now());
  if (document.body.classList.contains("stale")) banner(live.state);
}, 1_000);

api.whenLocked((wrong) => askToken(wrong, () => live.restart()));
theme();
watch(about);
show();
live.watch(connection);
