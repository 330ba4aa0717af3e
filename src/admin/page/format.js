// Times, sizes and states as people read them.

const NUMBER = new Intl.NumberFormat("en");
const DAY = new Intl.DateTimeFormat("en-GB", { weekday: "short", day: "numeric", month: "short", year: "numeric" });

/** What the states of a client are called, and what they mean. */
export const STATES = {
  active: ["connected", "It is connected."],
  awake: ["awake", "It has woken up and collects what waits for it."],
  asleep: ["asleep", "It sleeps; what comes for it waits until it is up again."],
  connecting: ["connecting", "It is in the middle of connecting: the gateway waits for its will."],
  gone: ["gone", "It has said goodbye or was lost; its session is kept for when it comes back."],
};

export const count = (number) => NUMBER.format(number);

/** `1 client`, `2 clients`. */
export const plural = (number, one, many = `${one}s`) => `${count(number)} ${number === 1 ? one : many}`;

export function bytes(number) {
  if (number < 1024) return `${number} B`;
  const units = ["KiB", "MiB", "GiB", "TiB"];
  let value = number / 1024;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${value < 10 ? value.toFixed(1) : Math.round(value)} ${units[unit]}`;
}

/** Packets a second. */
export function rate(number) {
  if (number === null) return "–";
  if (number === 0) return "0/s";
  if (number < 0.1) return "< 0.1/s";
  return `${number < 10 ? number.toFixed(1) : count(Math.round(number))}/s`;
}

/** `3 d 4 h`, `12 min`, `42 s`. */
export function duration(milliseconds) {
  const seconds = Math.max(0, Math.round(milliseconds / 1000));
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 24) return minutes % 60 && hours < 6 ? `${hours} h ${minutes % 60} min` : `${hours} h`;
  const days = Math.floor(hours / 24);
  return hours % 24 && days < 7 ? `${days} d ${hours % 24} h` : `${days} d`;
}

/** `4:32`, for what runs down. */
export function countdown(milliseconds) {
  const seconds = Math.max(0, Math.ceil(milliseconds / 1000));
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
}

/** How long ago or how far away a moment is. */
export function relative(time, now) {
  const away = time - now;
  if (Math.abs(away) < 1500) return "now";
  return away < 0 ? `${duration(-away)} ago` : `in ${duration(away)}`;
}

const two = (number) => String(number).padStart(2, "0");

/** `15:06:39`. */
export function clock(time) {
  const date = new Date(time);
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}

/** `15:06:39.123`. */
export const clockExact = (time) => `${clock(time)}.${String(new Date(time).getMilliseconds()).padStart(3, "0")}`;

export const day = (time) => DAY.format(new Date(time));

/** `Fri, 27 Nov 2026, 15:06:39`. */
export const moment = (time) => `${day(time)}, ${clock(time)}`;

/** `24 Nov, 16:54:30`, with the year if it is another. */
export function since(time) {
  const year = new Date(time).getFullYear() === new Date().getFullYear() ? undefined : "numeric";
  return `${new Date(time).toLocaleString("en-GB", { day: "numeric", month: "short", year })}, ${clock(time)}`;
}

/** Text of a device as it can be seen: blanks at its ends, and characters that show nothing or turn it round. */
export function visible(text) {
  const code = (character) => `\\u{${character.codePointAt(0).toString(16)}}`;
  return text.replace(/[\p{Cc}\p{Cf}\u2028\u2029]/gu, code).replace(/^\s+|\s+$/g, (blanks) => "␣".repeat(blanks.length));
}

/** With a sign that is as wide as a digit. */
export const signed = (number) => String(number).replace("-", "−");

/** Bars of signal strength, 0 to 4. */
export function bars(dbm) {
  return [-95, -85, -75, -65].filter((level) => dbm >= level).length;
}

/** With a capital and a full stop. */
export function sentence(text) {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}${/[.!?]$/.test(text) ? "" : "."}`;
}
