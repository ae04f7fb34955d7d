// As much of a browser as the pages of the examples ask for.
import { WebSocket } from "ws";

/**
 * Runs the script of a page.  elements: ids with the value of the input, if it is one.
 * Gives the lines that the page shows, its elements, and close().
 */
export function openPage(html, url, elements) {
  const script = /<script>(.*)<\/script>/s.exec(html)[1];
  const page = { lines: [], elements: {} };
  for (const [id, value] of Object.entries(elements))
    page.elements[id] = { value, append: (line) => page.lines.push(line.textContent) };
  class Browser extends WebSocket {
    constructor(address) { super(address); page.close = () => this.close(); }
  }
  new Function("document", "location", "WebSocket", "setTimeout", script)(
    { createElement: () => ({}), getElementById: (id) => page.elements[id] },
    { origin: url.replace(/\/$/, "") }, Browser, () => {});
  return page;
}
