// Which view an address is: `#/clients/meter-7`, `#/clients?state=asleep`.

/** Name of the view, its argument if it has one, and the query. */
export function route() {
  const [path, query] = location.hash.replace(/^#\/?/, "").split("?", 2);
  const [name, ...rest] = path.split("/");
  return { name: name || "overview", id: decoded(rest.join("/")), query: new URLSearchParams(query ?? "") };
}

/** The address of a client. */
export const clientAddress = (id) => `#/clients/${encodeURIComponent(id)}`;

/** Keeps what the view shows in the address, without another step in the history. */
export function remember(name, query) {
  const text = new URLSearchParams(Object.entries(query).filter(([, value]) => value)).toString();
  history.replaceState(null, "", `#/${name}${text && `?${text}`}`);
}

function decoded(text) {
  try {
    return text ? decodeURIComponent(text) : null;
  } catch {
    return text;
  }
}
