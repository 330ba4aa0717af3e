// Packets into a file that Wireshark reads.

import * as api from "../api.js";
import { toast } from "../dialogs.js";
import { fill, h, heard, icon, setText } from "../dom.js";
import { bytes, clock, count, duration, sentence } from "../format.js";
import { store } from "../store.js";
import { card } from "./card.js";

const SIZES = [1, 4, 16, 64].map((mebibytes) => [mebibytes * 1024 * 1024, `${mebibytes} MiB`]);
const TIMES = [[60, "1 minute"], [600, "10 minutes"], [3_600, "1 hour"], [28_800, "8 hours"]];

export function capture() {
  const who = h("input", { class: "input mono", id: "capture-client", placeholder: "all", autocomplete: "off", spellcheck: "false" });
  const where = h("select", { class: "input", id: "capture-link" });
  const size = h("select", { class: "input", id: "capture-size" }, SIZES.map(([value, word]) => h("option", { value, selected: word === "16 MiB" }, word)));
  const time = h("select", { class: "input", id: "capture-time" }, TIMES.map(([value, word]) => h("option", { value, selected: value === 600 }, word)));
  const start = h("button", { type: "submit", class: "button primary" }, "Start");
  const stop = h("button", { type: "button", class: "button" }, "Stop");
  const file = h("button", { type: "button", class: "button" }, icon("download"), "Download");
  const state = h("p", { class: "status" });
  const meter = h("progress", { max: "1", "aria-label": "Part of the size that is used" });
  const field = (label, input) => h("div", { class: "field" }, h("label", { for: input.id }, label), input);
  const form = h("form", { class: "fields" }, field("Client id, * and ? stand for anything", who), field("Link", where), field("At most", size), field("For", time), h("div", { class: "actions" }, start));
  const running = h("div", { class: "actions" }, stop, file);
  const element = card("Capture packets", "Writes what goes over the links to a file that Wireshark, tshark and mqtt-sn-gateway decode read.", state, meter, running, form);
  element.hidden = true;
  let now = null;

  const show = (next) => {
    now = next;
    element.hidden = false;
    form.hidden = now.active;
    stop.hidden = !now.active;
    file.hidden = !now.file;
    running.hidden = stop.hidden && file.hidden;
    meter.hidden = !now.active;
    meter.value = now.max_bytes ? now.bytes / now.max_bytes : 0;
    const sum = `${count(now.packets)} packets, ${bytes(now.bytes)}${now.dropped ? `, ${count(now.dropped)} left out` : ""}`;
    const of = [now.client && `client ${now.client}`, now.link && `link ${now.link}`].filter(Boolean).join(", ");
    const words = now.active
      ? `Capturing${of && ` ${of}`} for ${duration(api.now() - Date.parse(now.started))}: ${sum}`
      : now.file
        ? `${now.file}, from ${clock(Date.parse(now.started))}: ${sum}${now.stopped_because ? `. ${sentence(now.stopped_because)}` : ""}`
        : "";
    if (state.dataset.words !== words) {
      state.dataset.words = words;
      fill(state, words && icon(now.active ? "record" : "good"), words && h("span", null, words));
    }
    state.hidden = words === "";
    const names = store.links.map((link) => link.name);
    if (where.dataset.names !== names.join("\n")) {
      where.dataset.names = names.join("\n");
      fill(where, h("option", { value: "" }, "all"), names.map((name) => h("option", { value: name }, name)));
    }
    setText(start.firstChild, now.file ? "Start another" : "Start");
  };
  start.append(heard(" the capture"));
  stop.append(heard(" the capture"));

  const load = async () => {
    try {
      show(await api.get("api/v1/capture"));
    } catch (error) {
      // An older gateway has no such thing.
      if (error.status !== 404) throw error;
    }
  };
  const act = (button, run) => async (event) => {
    event.preventDefault();
    button.disabled = true;
    try {
      await run();
    } catch (error) {
      toast(error.message, "bad");
    }
    button.disabled = false;
  };
  form.addEventListener("submit", act(start, async () => {
    const query = new URLSearchParams({ max_bytes: size.value, seconds: time.value });
    if (who.value.trim()) query.set("client", who.value.trim());
    if (where.value) query.set("link", where.value);
    show(await api.change("POST", `api/v1/capture?${query}`));
  }));
  stop.addEventListener("click", act(stop, async () => show(await api.change("DELETE", "api/v1/capture"))));
  file.addEventListener("click", act(file, async () => {
    // Not a plain link: the token has to be sent along.
    const address = URL.createObjectURL(await api.getFile("api/v1/capture/file"));
    h("a", { href: address, download: now.file }).click();
    setTimeout(() => URL.revokeObjectURL(address), 60_000);
  }));

  return {
    element,
    load,
    tick: () => {
      if (now?.active) load();
    },
  };
}
