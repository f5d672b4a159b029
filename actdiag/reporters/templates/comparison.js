// The page is complete without this: it sorts and filters the ranking, and opens what a link leads to.
(() => {
  "use strict";
  const table = document.getElementById("ranked"), body = table.tBodies[0], rows = [...body.rows];
  const heads = [...table.tHead.rows[0].cells];
  const controls = document.getElementById("controls"), search = document.getElementById("search");
  const boxes = [...controls.querySelectorAll("[type=checkbox]")], count = document.getElementById("count");

  const key = (row, column) => {
    const cell = row.cells[column];
    return cell.dataset.k ?? cell.textContent.trim();
  };
  const compare = (a, b) => {
    const [x, y] = [Number(a), Number(b)];
    return Number.isNaN(x) || Number.isNaN(y) ? a.localeCompare(b, "en", { numeric: true }) : x - y;
  };

  function sort(column) {
    const head = heads[column], way = head.ariaSort === "ascending" ? -1 : 1;
    heads.forEach((each) => each.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", way > 0 ? "ascending" : "descending");
    const keyed = rows.map((row) => [key(row, column), row]);
    keyed.sort(([a], [b]) => (a === "") - (b === "") || way * compare(a, b));  // what is not known comes last
    body.append(...keyed.map(([, row]) => row));
  }

  function filter() {
    const words = search.value.toLowerCase().split(/\s+/);
    const kept = new Set(boxes.filter((box) => box.checked).map((box) => box.value));
    let shown = 0;
    for (const row of rows) {
      const text = row.textContent.toLowerCase();
      row.hidden = !(kept.has(row.dataset.v) && words.every((word) => text.includes(word)));
      shown += !row.hidden;
    }
    count.textContent = `${shown} of ${rows.length} networks`;
  }

  // What a link leads to is unfolded and has the focus; Back returns to the link.
  const aim = () => location.hash.length > 1 ? document.getElementById(location.hash.slice(1)) : null;
  let left = null;
  function open() {
    const target = aim(), fold = target && target.closest("details");
    if (!fold) return;
    fold.open = true;
    const place = fold.classList.contains("single") ? fold.querySelector("summary") : target;
    place.focus({ preventScroll: true });
    place.scrollIntoView();
  }
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[href^='#']");
    if (!link) return;
    left = link;
    if (link.hash === location.hash) open();  // no hashchange comes
  });
  window.addEventListener("hashchange", () => {
    const target = aim();
    if (target && target.closest("details")) open();
    else if (left && !target) left.focus();
  });

  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    button.addEventListener("click", () => sort(column));
    head.append(button);
  });
  heads[0].setAttribute("aria-sort", "ascending");
  controls.addEventListener("input", filter);
  controls.addEventListener("submit", (event) => event.preventDefault());
  controls.hidden = false;
  filter();

  let closed = [];
  window.addEventListener("beforeprint", () => {
    closed = [...document.querySelectorAll("details:not(.single,[open])")];  // closed networks stay so
    closed.forEach((each) => { each.open = true; });
  });
  window.addEventListener("afterprint", () => closed.forEach((each) => { each.open = false; }));
  window.addEventListener("load", () => setTimeout(open));  // after the browser's own way to the fragment
})();
