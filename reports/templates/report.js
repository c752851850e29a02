"use strict";
// All of this is comfort: without it the page says the same.
const make = (tag, properties) => Object.assign(document.createElement(tag), properties);
const status = make("p", { className: "hidden" });
status.setAttribute("role", "status");
document.querySelector("main").append(status);

// --- contents: the section that is read is marked
const links = new Map([...document.querySelectorAll(".contents a")].map((link) => [link.hash.slice(1), link]));
const reading = new IntersectionObserver((entries) => {
  for (const entry of entries.filter((entry) => entry.isIntersecting)) {
    const link = links.get(entry.target.getAttribute("aria-labelledby"));
    if (!link) continue;
    for (const other of links.values()) other.removeAttribute("aria-current");
    link.setAttribute("aria-current", "true");
    const list = link.closest("ul");
    list.scrollLeft = link.offsetLeft - list.offsetLeft - list.clientWidth / 3;
  }
}, { rootMargin: "-15% 0px -80% 0px" });
for (const section of document.querySelectorAll("main section")) reading.observe(section);

// --- highlighting: marks and rows of one strategy stay, all others fade; the address keeps it
const highlight = document.getElementById("highlight");
if (highlight) {
  const select = highlight.querySelector("select");
  const others = () => location.hash.slice(1).split("&").filter((part) => part && !part.startsWith("strategy="));
  const keep = () => {
    const parts = select.value ? [...others(), `strategy=${encodeURIComponent(select.value)}`] : others();
    history.replaceState(null, "", `#${parts.join("&")}`);
  };
  const pick = (name) => {
    select.value = name;
    document.body.classList.toggle("picked", select.value !== "");
    for (const mark of document.querySelectorAll("[data-strategy]")) {
      mark.classList.toggle("on", mark.dataset.strategy === select.value);
    }
  };
  const read = () => {
    const part = location.hash.slice(1).split("&").find((part) => part.startsWith("strategy="));
    if (part) pick(decodeURIComponent(part.slice(9)));
    else if (select.value) keep(); // a link of the contents was followed
  };
  select.addEventListener("change", () => { pick(select.value); keep(); });
  for (const mark of document.querySelectorAll("svg [data-strategy]")) {
    mark.addEventListener("click", () => { pick(select.value === mark.dataset.strategy ? "" : mark.dataset.strategy); keep(); });
  }
  addEventListener("hashchange", read);
  read();
  if (select.value && others().length) document.getElementById(others()[0])?.scrollIntoView();
  highlight.hidden = false;
}

// --- figures: values of points, by pointer or arrow keys
const tip = make("div", { className: "tip", hidden: true });
tip.setAttribute("aria-hidden", "true");
document.body.append(tip);
let shown = null, typed = false;
const show = (point, byKeys = false) => {
  shown?.element.classList.remove("at");
  [shown, typed] = [point, byKeys];
  tip.hidden = !point;
  if (!point) return;
  point.element.classList.add("at");
  tip.textContent = point.text;
  const box = point.element.getBoundingClientRect();
  const left = (box.left + box.right - tip.offsetWidth) / 2;
  tip.style.left = `${Math.max(4, Math.min(left, document.documentElement.clientWidth - tip.offsetWidth - 4))}px`;
  tip.style.top = `${box.top > tip.offsetHeight + 8 ? box.top - tip.offsetHeight - 6 : box.bottom + 6}px`;
};
const pointsOf = (mark) => {
  const texts = mark.dataset.values.split("\u241f");
  const uses = [...mark.querySelectorAll("use")];
  return texts.map((text, i) => ({ text, element: uses.length === texts.length ? uses[i] : mark }));
};
for (const panels of document.querySelectorAll(".panels")) {
  const points = [...panels.querySelectorAll("[data-values]")].flatMap(pointsOf);
  if (!points.length) continue;
  panels.setAttribute("aria-description", "Arrow keys read its values.");
  panels.scrollLeft = panels.scrollWidth; // on a narrow screen, where lines end and are named
  let frame = 0;
  panels.addEventListener("pointermove", ({ clientX: x, clientY: y }) => {
    cancelAnimationFrame(frame);
    frame = requestAnimationFrame(() => {
      let nearest = null, least = 24;
      for (const point of points) { // of those that overlap, the one whose middle is nearest
        const box = point.element.getBoundingClientRect();
        const outside = Math.hypot(Math.max(box.left - x, 0, x - box.right), Math.max(box.top - y, 0, y - box.bottom));
        const far = outside + Math.hypot(box.left + box.right - 2 * x, box.top + box.bottom - 2 * y) / 100;
        if (far < least) [nearest, least] = [point, far];
      }
      if (nearest !== shown) show(nearest);
    });
  });
  panels.addEventListener("pointerleave", () => { cancelAnimationFrame(frame); show(null); });
  panels.addEventListener("blur", () => show(null));
  panels.addEventListener("keydown", (event) => {
    const place = points.indexOf(shown);
    const next = { ArrowRight: place + 1, ArrowDown: place + 1, ArrowLeft: place - 1, ArrowUp: place - 1, Home: 0, End: -1 }[event.key];
    if (event.key === "Escape") show(null);
    if (next === undefined) return;
    event.preventDefault();
    const point = points.at(next < 0 ? -1 : next % points.length);
    point.element.scrollIntoView({ block: "nearest", inline: "nearest" });
    show(point, true);
    status.textContent = point.text;
  });
}
// Keys scroll to a point that is out of sight; its values go along.
addEventListener("scroll", () => show(typed ? shown : null, typed), { passive: true });

// --- tables: sorting by their heads, a filter for long ones, and a file of each
const units = { s: 1, min: 60, h: 3600, k: 1e3, M: 1e6, G: 1e9 };
const textOf = (cell) =>
  [...cell.childNodes].map((node) => node.textContent.trim()).filter(Boolean).join("; ").replace(" (highest)", "");
const numberOf = (cell) => {
  if (cell.dataset.v !== undefined) return parseFloat(cell.dataset.v);
  const found = /^[<≈]?([+−-]?[\d,]*\.?\d+)%? ?(s|min|h|k|M|G)?(?![\w.])/.exec(textOf(cell));
  return found ? parseFloat(found[1].replaceAll(",", "").replace("−", "-")) * (units[found[2]] ?? 1) : NaN;
};
const sorted = (rows, column, up) => {
  const cells = rows.map((row) => row.cells[column]);
  const numbers = new Map(cells.map((cell) => [cell, numberOf(cell)]));
  const missing = (cell) => ["–", ""].includes(textOf(cell));
  const numeric = cells.every((cell) => missing(cell) || !isNaN(numbers.get(cell)));
  const compare = (a, b) => {
    if (missing(a) || missing(b)) return missing(a) - missing(b); // comes last, either way
    const order = numeric ? numbers.get(a) - numbers.get(b) : textOf(a).localeCompare(textOf(b), "en", { numeric: true });
    return up ? order : -order;
  };
  return [...rows].sort((a, b) => compare(a.cells[column], b.cells[column]));
};
const csvOf = (table) => {
  const quoted = (text) => (/^[=+@\t\r-]/.test(text) && isNaN(parseFloat(text)) ? `'${text}` : text).replaceAll('"', '""');
  return [...table.rows].map((row) => [...row.cells].map((cell) => `"${quoted(textOf(cell))}"`).join(",")).join("\r\n");
};
for (const table of document.querySelectorAll(".scroll table:not(.fixed)")) {
  const rows = [...table.tBodies[0].rows], headings = [...table.tHead.rows[0].cells];
  headings.forEach((heading, column) => {
    const title = heading.textContent.trim();
    const button = make("button", { type: "button" });
    button.append(...heading.childNodes);
    heading.append(button);
    button.addEventListener("click", () => {
      const up = heading.getAttribute("aria-sort") !== "ascending";
      table.tBodies[0].append(...sorted([...table.tBodies[0].rows], column, up));
      headings.forEach((other) => other.removeAttribute("aria-sort"));
      heading.setAttribute("aria-sort", up ? "ascending" : "descending");
      status.textContent = `Sorted by ${title}, ${up ? "ascending" : "descending"}.`;
    });
  });
  const tools = make("div", { className: "tools" });
  const name = (table.closest(".scroll").getAttribute("aria-label") || "Table").replace(/^Table: /, "");
  if (rows.length > 8) {
    const label = make("label", { textContent: "Filter rows " });
    const input = make("input", { type: "search", placeholder: "scratch 10%" });
    label.append(input);
    tools.append(label);
    input.addEventListener("input", () => {
      const wanted = input.value.toLowerCase().split(/\s+/).filter(Boolean);
      for (const row of rows) row.hidden = !wanted.every((word) => row.textContent.toLowerCase().includes(word));
      status.textContent = `${rows.filter((row) => !row.hidden).length} of ${rows.length} rows shown.`;
    });
  }
  const button = make("button", { type: "button", textContent: "CSV" });
  button.setAttribute("aria-label", `CSV of the table: ${name}`);
  button.addEventListener("click", () => {
    const url = URL.createObjectURL(new Blob([`\ufeff${csvOf(table)}\r\n`], { type: "text/csv" }));
    make("a", { href: url, download: `${name.toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-|-$/g, "") || "table"}.csv` }).click();
    setTimeout(() => URL.revokeObjectURL(url), 1000);
  });
  tools.append(button);
  table.closest(".scroll").before(tools);
}
addEventListener("beforeprint", () => {
  for (const details of document.querySelectorAll("section:not(.folded) details")) details.open = true;
});

// Copying: a button beside what is to be typed; without a clipboard there is none.
for (const button of document.querySelectorAll(".copy")) {
  button.hidden = !navigator.clipboard;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(button.parentElement.querySelector("code").textContent);
    button.textContent = "copied";
  });
}
