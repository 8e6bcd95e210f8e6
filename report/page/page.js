// Tables that sort, and the choice between the light and the dark scheme.
"use strict";

(() => {
  // What a cell is sorted by: null when it is empty, its exact number where it has one, else its text.
  function keyOf(cell) {
    if (cell.dataset.value !== undefined) return Number(cell.dataset.value);
    const text = cell.textContent.trim();
    return text === "" || text === "–" ? null : text;
  }

  function compare(a, b) {
    if (typeof a === "number" && typeof b === "number") return a - b;
    return String(a).localeCompare(String(b), "en", { numeric: true });
  }

  function sort(table, column, direction) {
    const body = table.tBodies[0];
    const rows = [...body.rows].map((row) => [keyOf(row.cells[column]), row]);
    const filled = rows.filter(([key]) => key !== null);
    const empty = rows.filter(([key]) => key === null); // last, whichever way
    filled.sort(([a], [b]) => (direction === "ascending" ? compare(a, b) : compare(b, a)));
    body.append(...[...filled, ...empty].map(([, row]) => row));
  }

  function makeSortable(table) {
    const heads = [...table.tHead.rows[table.tHead.rows.length - 1].cells];
    heads.forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const direction = head.getAttribute("aria-sort") === "ascending" ? "descending" : "ascending";
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", direction);
        sort(table, column, direction);
      });
    });
  }

  function chooseScheme() {
    const dark = matchMedia("(prefers-color-scheme: dark)").matches;
    const button = document.createElement("button");
    button.type = "button";
    button.className = "scheme";
    const show = (scheme) => {
      document.documentElement.dataset.scheme = scheme;
      button.textContent = scheme === "dark" ? "Light scheme" : "Dark scheme";
    };
    show(dark ? "dark" : "light");
    button.addEventListener("click", () => show(document.documentElement.dataset.scheme === "dark" ? "light" : "dark"));
    document.querySelector("header").append(button);
  }

  document.querySelectorAll("table").forEach(makeSortable);
  chooseScheme();
})();
