"use strict";
// The page reads without this file. It adds a filter to the errors and an order to the tables.
document.documentElement.classList.add("js");

const fold = (text) => text.toLocaleLowerCase();

for (const panel of document.querySelectorAll("[data-filter]")) {
  const controls = [...panel.querySelectorAll("[data-key]")];
  const blocks = [...document.querySelectorAll("#" + panel.dataset.filter + " .block")];
  const output = panel.querySelector("output");

  const keeps = (card) => controls.every((control) => {
    const wanted = fold(control.value.trim());
    if (!wanted || control.dataset.key === "order") return true;
    if (control.dataset.key === "words") return fold(card.textContent).includes(wanted);
    return card.dataset[control.dataset.key] === control.value;
  });

  const arrange = () => {
    const order = panel.querySelector("[data-key=order]").value;
    let shown = 0, total = 0;
    for (const block of blocks) {
      const cards = [...block.querySelectorAll(".card")];
      cards.sort((a, b) => order === "longest" ? b.dataset.length - a.dataset.length || a.dataset.number - b.dataset.number
        : a.dataset.rank - b.dataset.rank);
      for (const card of cards) {
        card.hidden = !keeps(card);
        card.parentElement.append(card);
      }
      const count = cards.filter((card) => !card.hidden).length;
      block.hidden = count === 0;
      shown += count;
      total += cards.length;
    }
    output.textContent = shown + " of " + total + " shown";
  };

  for (const control of controls) control.addEventListener("input", arrange);
  panel.querySelector("button").addEventListener("click", () => {
    for (const control of controls) control.value = control.dataset.key === "order" ? "confident" : "";
    arrange();
  });
  panel.hidden = false;
  arrange();
}

for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const rises = head.getAttribute("aria-sort") !== "ascending";
      const body = table.tBodies[0];
      const value = (row) => row.cells[column].dataset.value ?? row.cells[column].textContent.trim();
      const compare = (a, b) => isNaN(value(a)) || isNaN(value(b))
        ? value(a).localeCompare(value(b)) : value(a) - value(b);
      const rows = [...body.rows].sort((a, b) => rises ? compare(a, b) : compare(b, a));
      body.append(...rows);
      for (const other of heads) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", rises ? "ascending" : "descending");
    });
  });
}
