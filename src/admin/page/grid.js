// A table of any length: only the rows that can be seen exist. The arrow keys go from row to row, Enter opens one.

import { fill, h, icon } from "./dom.js";

/** Rows above and below those that can be seen. */
const SPARE = 8;

export class Grid {
  #columns;
  #open;
  #rows = [];
  #key;
  #made = new Map();
  #active = null;
  #heads = [];
  #height = 36;

  /**
   * `columns`: `{ name, title, class, sort }`. `make()` gives `{ element, update(item, now) }` with a cell for each
   * column, `key(item)` what tells items apart, `open(item)` follows one.
   */
  constructor({ label, columns, key, make, open, sort }) {
    this.#columns = columns;
    this.#key = key;
    this.#open = open;
    this.make = make;
    this.body = h("div", { class: "rows", role: "rowgroup" });
    this.element = h(
      "div",
      {
        class: "grid",
        role: "grid",
        tabindex: "0",
        "aria-label": label,
        onkeydown: (event) => this.#key_down(event),
        onclick: (event) => this.#click(event),
        onscroll: () => this.paint(),
      },
      h("div", { class: "head", role: "rowgroup" }, this.#head(sort)),
      this.body,
    );
    new ResizeObserver(() => this.paint()).observe(this.element);
  }

  #head(sort) {
    this.#heads = this.#columns.map((column) => {
      const arrow = icon("down");
      const button = h("button", { type: "button", tabindex: "-1", onclick: () => sort(column.name) }, column.title, arrow);
      return h("div", { class: `cell ${column.class ?? ""}`, role: "columnheader" }, button);
    });
    return h("div", { class: "row", role: "row", "aria-rowindex": "1" }, this.#heads);
  }

  /** Says how the rows are sorted. */
  sorted({ by, down }) {
    for (const [index, column] of this.#columns.entries()) {
      const how = column.name === by ? (down ? "descending" : "ascending") : "none";
      this.#heads[index].setAttribute("aria-sort", how);
    }
  }

  /** Shows these rows. The one that was chosen stays so, wherever it is now. */
  show(rows) {
    this.#rows = rows;
    this.element.setAttribute("aria-rowcount", String(rows.length + 1));
    this.paint();
  }

  /** Brings what can be seen up to date. */
  paint(now) {
    const height = parseFloat(getComputedStyle(this.element).getPropertyValue("--row")) || 36;
    this.#height = height;
    this.body.style.height = `${this.#rows.length * height}px`;
    const top = Math.floor(this.element.scrollTop / height);
    const first = Math.max(0, top - SPARE);
    const last = Math.min(this.#rows.length, top + Math.ceil(this.element.clientHeight / height) + SPARE);
    const next = new Map();
    for (let index = first; index < last; index += 1) {
      const item = this.#rows[index];
      const key = this.#key(item);
      const row = this.#made.get(key) ?? this.#row();
      if (row.item !== item || now) row.update(item, now);
      row.item = item;
      if (row.index !== index || row.height !== height) {
        row.index = index;
        row.height = height;
        row.element.style.transform = `translateY(${index * height}px)`;
        row.element.setAttribute("aria-rowindex", String(index + 2));
      }
      row.element.classList.toggle("active", key === this.#active);
      next.set(key, row);
    }
    for (const [key, row] of this.#made) if (!next.has(key)) row.element.remove();
    const fresh = [...next.values()].filter((row) => !row.element.isConnected);
    this.body.append(...fresh.map((row) => row.element));
    this.#made = next;
    const active = next.get(this.#active);
    if (active) this.element.setAttribute("aria-activedescendant", active.element.id);
    else this.element.removeAttribute("aria-activedescendant");
  }

  #row() {
    const row = this.make();
    row.element.id = `row-${(ids += 1)}`;
    return row;
  }

  #key_down(event) {
    if (event.target !== this.element || event.altKey || event.ctrlKey || event.metaKey) return;
    const now = this.#rows.findIndex((item) => this.#key(item) === this.#active);
    const page = Math.max(1, Math.floor(this.element.clientHeight / this.#height) - 2);
    const last = this.#rows.length - 1;
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -last, End: last };
    if (event.key === "Enter" && now >= 0) {
      event.preventDefault();
      this.#open(this.#rows[now]);
    } else if (event.key in steps && last >= 0) {
      event.preventDefault();
      const from = now < 0 ? (steps[event.key] > 0 ? -1 : 0) : now;
      this.#choose(Math.min(last, Math.max(0, from + steps[event.key])));
    }
  }

  #choose(index) {
    this.#active = this.#key(this.#rows[index]);
    const head = this.element.firstElementChild.offsetHeight;
    const top = index * this.#height;
    const view = this.element.clientHeight - head;
    if (top < this.element.scrollTop) this.element.scrollTop = top;
    else if (top + this.#height > this.element.scrollTop + view) this.element.scrollTop = top + this.#height - view;
    this.paint();
  }

  #click(event) {
    // A link is followed by the browser, in another tab if that is wanted.
    if (event.target.closest("a, button") || getSelection()?.type === "Range") return;
    const element = event.target.closest(".rows .row");
    for (const row of this.#made.values()) if (row.element === element) this.#open(row.item);
  }

  /** Goes to the first row again. */
  rewind() {
    this.element.scrollTop = 0;
  }

  /** What stands there instead of rows. */
  say(...children) {
    this.note?.remove();
    if (children.length === 0) return;
    this.note = fill(h("div", { class: "nothing" }), children);
    this.element.after(this.note);
  }
}

let ids = 0;
