// What has to be answered before anything goes on.

import * as api from "./api.js";
import { fill, h, icon } from "./dom.js";

/** Asks whether something is really wanted. Gives whether it is. */
export function confirm({ title, text, action }) {
  return new Promise((resolve) => {
    let agreed = false;
    const dialog = h(
      "dialog",
      { class: "dialog", "aria-labelledby": "confirm-title" },
      h("h2", { id: "confirm-title" }, title),
      text.map((paragraph) => h("p", null, paragraph)),
      h(
        "div",
        { class: "actions" },
        h("button", { type: "button", class: "button", autofocus: "", onclick: () => dialog.close() }, "Leave it"),
        h(
          "button",
          {
            type: "button",
            class: "button danger",
            onclick: () => {
              agreed = true;
              dialog.close();
            },
          },
          action,
        ),
      ),
    );
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(agreed);
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}

let asking = false;

/** Asks for the token until it is the right one. `wrong`: there was one. */
export function askToken(wrong, unlocked) {
  if (asking) return;
  asking = true;
  const problem = h("p", { class: "problem", role: "alert" });
  const input = h("input", {
    id: "token",
    type: "password",
    class: "input mono",
    autocomplete: "current-password",
    spellcheck: "false",
    required: "",
    autofocus: "",
  });
  const button = h("button", { type: "submit", class: "button primary" }, "Open");
  const say = (text) => fill(problem, text && [icon("bad"), h("span", null, text)]);
  const form = h("form", {
    onsubmit: async (event) => {
      event.preventDefault();
      button.disabled = true;
      say("");
      try {
        await api.unlock(input.value.trim());
        dialog.close();
      } catch (error) {
        say(error.status === 401 ? "This is not the token." : error.message);
        input.select();
      }
      button.disabled = false;
    },
  });
  form.append(
    h("h2", { id: "token-title" }, "This gateway asks for its token"),
    h(
      "p",
      null,
      "The log of the gateway said it once, at its first start. If it is lost, delete ",
      h("code", null, "admin-token"),
      " in the state directory and start the gateway again: it says a new one.",
    ),
    h("label", { for: "token" }, "Token"),
    input,
    problem,
    h("p", { class: "faint" }, "It is kept until this tab is closed."),
    h("div", { class: "actions" }, button),
  );
  const dialog = h("dialog", { class: "dialog", "aria-labelledby": "token-title" }, form);
  // There is nothing to see without it.
  dialog.addEventListener("cancel", (event) => event.preventDefault());
  dialog.addEventListener("close", () => {
    asking = false;
    dialog.remove();
    unlocked();
  });
  if (wrong) say("The token is no longer right.");
  document.body.append(dialog);
  dialog.showModal();
}

let fading;

/** A line that goes away by itself. */
export function toast(text, level = "info") {
  const place = document.getElementById("toast");
  fill(place, h("div", { class: `toast ${level}` }, icon(level === "bad" ? "bad" : "good"), h("span", null, text)));
  clearTimeout(fading);
  fading = setTimeout(() => fill(place), 6_000);
}
