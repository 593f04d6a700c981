/* Elements of the answers; every text is set as text. */

export function make(tag, className, ...content) {
  const element = document.createElement(tag);
  element.className = className;
  element.append(...content.filter((part) => part !== false));
  return element;
}

/** A name of words joined by underscores, which may break after each. */
function breakable(text) {
  return make("span", "code", ...text.split(/(?<=_)(?=[^_])/).flatMap((word) => [word, make("wbr", "")]));
}

export const number = (value) =>
  value === null ? "missing" : value.toLocaleString("en", { maximumFractionDigits: 3, useGrouping: false });

export const fact = (term, value, className = "") => make("div", className, make("dt", "", term), make("dd", "", value));

export const greatest = (reasons) => Math.max(0, ...reasons.map(({ contribution }) => Math.abs(contribution)));

export function reasonTable(caption, reasons, scale) {
  const rows = reasons.map(({ feature, value, contribution }) => [
    make("th", "", breakable(feature), bar(Math.abs(contribution) / scale)),
    make("td", "", number(value)),
    make("td", "", (contribution < 0 ? "" : "+") + number(contribution)),
  ]);
  return table(caption, ["feature", "value", "contribution"], rows);
}

export function table(caption, titles, rows) {
  rows.forEach(([head]) => (head.scope = "row"));
  const heads = titles.map((title) => Object.assign(make("th", "", title), { scope: "col" }));
  return make("table", "",
    make("caption", "", caption),
    make("thead", "", make("tr", "", ...heads)),
    make("tbody", "", ...rows.map((cells) => make("tr", "", ...cells))),
  );
}

/** As long as ``share`` of its cell, 0 to 1; the number stands in the row as well. */
export function bar(share) {
  const element = make("span", "bar");
  element.style.inlineSize = `${100 * share}%`;
  return element;
}
