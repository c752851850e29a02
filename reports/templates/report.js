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
