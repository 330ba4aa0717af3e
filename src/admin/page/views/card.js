// A part of a view with a heading, and a line that says what it is for.

import { h } from "../dom.js";

export function card(title, text, ...content) {
  const id = `c-${title.replace(/\W/g, "")}`;
  return h("section", { class: "panel card", "aria-labelledby": id }, h("h2", { id }, title), h("p", { class: "faint" }, text), content);
}
