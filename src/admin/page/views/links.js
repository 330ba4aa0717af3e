// A link in the overview: what it is, how it is, what goes over it, and who may join.

import * as api from "../api.js";
import { toast } from "../dialogs.js";
import { fill, h, heard, icon, setText } from "../dom.js";
import { bytes, count, countdown, plural, rate } from "../format.js";
import { Spark } from "../spark.js";
import { store } from "../store.js";

const KINDS = { udp: "UDP", serial: "serial line", ble: "Bluetooth LE" };
/** Seconds for which unknown devices may join. */
const OPEN = 300;
const POINTS = 60;

/** A row for `keyed`. */
export function linkRow(first) {
  const state = h("span", { class: "state" });
  const detail = h("p", { class: "faint" });
  const [received, sent] = [h("strong"), h("strong")];
  const drops = h("span", { class: "drops" });
  const spark = new Spark(POINTS, ["received", "sent"]);
  const join = permitJoin();
  const element = h(
    "li",
    { class: "link" },
    h(
      "div",
      { class: "who" },
      icon(first.kind),
      h("div", null, h("h3", { class: "mono" }, first.name), detail),
    ),
    state,
    h(
      "div",
      { class: "rates" },
      h("span", { title: "Packets a second from devices" }, icon("in"), received, h("span", { class: "faint" }, " from devices")),
      h("span", { title: "Packets a second to devices" }, icon("out"), sent, h("span", { class: "faint" }, " to devices")),
    ),
    h("div", { class: "course", title: "Packets a second, the last five minutes" }, spark.element),
    drops,
    join.element,
  );
  return {
    element,
    update(link) {
      if (state.dataset.up !== String(link.up)) {
        state.dataset.up = String(link.up);
        fill(state, icon(link.up ? "up" : "bad"), link.up ? "up" : "down");
      }
      const devices = link.devices === null ? "" : `, ${plural(link.devices, "device")} connected`;
      const noise = link.discarded_bytes ? `, ${bytes(link.discarded_bytes)} of noise` : "";
      setText(detail, `${KINDS[link.kind] ?? link.kind}${devices}${noise}`);
      setText(received, rate(link.rate.received));
      setText(sent, rate(link.rate.sent));
      spark.draw([link.history.map((point) => point.received), link.history.map((point) => point.sent)]);
      const lost = Object.entries(link.lost).filter(([, { total }]) => total > 0);
      const total = lost.reduce((sum, [, { total }]) => sum + total, 0);
      setText(drops, total ? `${count(total)} dropped` : "none dropped");
      drops.classList.toggle("faint", !lost.some(([, { lately }]) => lately > 0));
      drops.title = lost.map(([reason, { total }]) => `${reason}: ${count(total)}`).join("\n") || "Since the gateway started";
      join.update(link);
    },
  };
}

/** The window in which unknown devices may connect, where a link has one. */
function permitJoin() {
  let link = null;
  const text = h("span");
  const button = h("button", { type: "button", class: "button small" });
  const element = h("div", { class: "join", hidden: true }, text, button);
  button.addEventListener("click", async () => {
    button.disabled = true;
    try {
      const seconds = link.permit_join.open ? 0 : OPEN;
      const path = `api/v1/links/${encodeURIComponent(link.name)}/permit-join?seconds=${seconds}`;
      const { permit_join } = await api.change("POST", path);
      Object.assign(store.links.find(({ name }) => name === link.name) ?? {}, { permit_join });
      update({ ...link, permit_join });
    } catch (error) {
      toast(error.message, "bad");
    }
    button.disabled = false;
  });
  const update = (next) => {
    link = next;
    // An older gateway does not say.
    element.hidden = !link.permit_join;
    if (element.hidden) return;
    const { open, until, known } = link.permit_join;
    const rest = until === null ? "" : ` for ${countdown(Date.parse(until) - api.now())}`;
    setText(text, open ? `Open to unknown devices${rest}` : `${plural(known, "device")} known`);
    element.classList.toggle("open", open);
    const word = open ? "Close" : "Let devices join for 5 minutes";
    if (button.dataset.word !== word) {
      button.dataset.word = word;
      fill(button, word, heard(` on ${link.name}`));
    }
  };
  return { element, update };
}
