// Elements. Whatever comes from devices goes in as text and never as HTML; the page's policy sees to it too.

const PROPERTIES = new Set(["value", "checked", "disabled", "hidden", "open", "selected", "htmlFor"]);

/** An element with attributes, properties, listeners (`onclick`) and children. */
export function h(name, attributes, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (PROPERTIES.has(key)) element[key] = value;
    else element.setAttribute(key, String(value));
  }
  element.append(...nodes(children));
  return element;
}

function nodes(children) {
  return children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false);
}

/** Puts these in place of what an element has. */
export function fill(element, ...children) {
  element.replaceChildren(...nodes(children));
  return element;
}

/** Sets a text if it is another one: nothing is painted, selected or read out twice. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** One of the symbols in index.html. `label` if it stands for a word. */
export function icon(name, label) {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  svg.setAttribute("class", `icon icon-${name}`);
  svg.setAttribute("viewBox", "0 0 16 16");
  if (label) {
    svg.setAttribute("role", "img");
    svg.setAttribute("aria-label", label);
  } else {
    svg.setAttribute("aria-hidden", "true");
  }
  const use = document.createElementNS(space, "use");
  use.setAttribute("href", `#i-${name}`);
  svg.append(use);
  return svg;
}

/** Text that is only heard. */
export function heard(text) {
  return h("span", { class: "heard" }, text);
}

/**
 * Keeps the children of an element in step with a list. Those that stay keep their elements, and with them
 * focus and selection. `make(item)` gives `{ element, update(item) }`.
 */
export function keyed(parent, make) {
  let parts = new Map();
  return (items, key) => {
    const next = new Map();
    for (const item of items) {
      const name = key(item);
      const part = parts.get(name) ?? make(item);
      part.update(item);
      next.set(name, part);
    }
    for (const [name, part] of parts) if (!next.has(name)) part.element.remove();
    let place = parent.firstElementChild;
    for (const part of next.values()) {
      if (part.element === place) place = place.nextElementSibling;
      else parent.insertBefore(part.element, place);
    }
    parts = next;
  };
}

/** At most once in so many milliseconds, the last time included. */
export function throttled(milliseconds, run) {
  let timer = null;
  const call = () => {
    timer ??= setTimeout(() => {
      timer = null;
      run();
    }, milliseconds);
  };
  call.cancel = () => {
    clearTimeout(timer);
    timer = null;
  };
  return call;
}
