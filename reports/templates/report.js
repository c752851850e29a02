"use strict";
// Sorting by the buttons that this puts into the headings of a table; without it, the table is as it was sent.
for (const table of document.querySelectorAll("table.sortable")) {
  const status = document.getElementById("sorted");
  const body = table.tBodies[0];
  const headings = [...table.tHead.rows[0].cells];
  headings.forEach((heading, column) => {
    const button = document.createElement("button");
    const title = heading.textContent.trim();
    button.type = "button";
    button.textContent = title;
    heading.replaceChildren(button);
    button.addEventListener("click", () => {
      const up = heading.getAttribute("aria-sort") !== "ascending";
      const key = (row) => {
        const cell = row.cells[column];
        return cell.dataset.v === undefined ? cell.textContent : parseFloat(cell.dataset.v);
      };
      const compare = (a, b) => {
        if (typeof a === "string") return up ? a.localeCompare(b) : b.localeCompare(a);
        if (isNaN(a) || isNaN(b)) return isNaN(a) - isNaN(b); // what is missing comes last, either way
        return up ? a - b : b - a;
      };
      body.append(...[...body.rows].sort((a, b) => compare(key(a), key(b))));
      headings.forEach((other) => other.removeAttribute("aria-sort"));
      heading.setAttribute("aria-sort", up ? "ascending" : "descending");
      status.textContent = `Sorted by ${title}, ${up ? "ascending" : "descending"}.`;
    });
  });
}
addEventListener("beforeprint", () => {
  for (const details of document.querySelectorAll("details")) details.open = true;
});

// Highlighting: the marks and rows of the chosen strategies stay, all others fade.
const toolbar = document.getElementById("highlight");
if (toolbar) {
  const buttons = [...toolbar.querySelectorAll("button")];
  const show = () => {
    const chosen = new Set(buttons.filter((b) => b.getAttribute("aria-pressed") === "true").map((b) => b.dataset.pick));
    document.body.classList.toggle("picked", chosen.size > 0);
    for (const mark of document.querySelectorAll("[data-strategy]")) {
      mark.classList.toggle("on", chosen.has(mark.dataset.strategy));
    }
  };
  for (const button of buttons) {
    button.addEventListener("click", () => {
      button.setAttribute("aria-pressed", String(button.getAttribute("aria-pressed") !== "true"));
      show();
    });
  }
  toolbar.hidden = false;
}
// Filtering: the rows that have every word.
for (const table of document.querySelectorAll("table.sortable")) {
  const status = document.getElementById("sorted");
  const label = document.createElement("label");
  const input = document.createElement("input");
  label.className = "filter";
  input.type = "search";
  input.placeholder = "such as: scratch 10% failed";
  label.append("Show rows with ", input);
  (table.closest(".scroll") || table).before(label);
  input.addEventListener("input", () => {
    const wanted = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const row of table.tBodies[0].rows) {
      const text = [...row.cells].map((cell) => cell.textContent).join(" ").toLowerCase();
      row.hidden = !wanted.every((word) => text.includes(word));
      shown += !row.hidden;
    }
    status.textContent = `${shown} of ${table.tBodies[0].rows.length} rows shown.`;
  });
}

// Copying: a button beside what is to be typed; without a clipboard there is none.
for (const button of document.querySelectorAll(".copy")) {
  button.hidden = !navigator.clipboard;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(button.parentElement.querySelector("code").textContent);
    button.textContent = "copied";
  });
}
