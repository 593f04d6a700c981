/* The combobox of the ARIA Authoring Practices, with a list and manual selection. */

import { make } from "./markup.js";

const TYPING_MS = 120;

/**
 * Let an input suggest texts while it is typed into.
 *
 * @param input, list - the two elements; each text is an option of the list
 * @param find - the texts that begin with a prefix, later; it may reject, and ``failed`` is told
 * @param picked - called when one was picked, which is in the input then
 */
export function combobox(input, list, { find, picked, failed }) {
  let timer = 0;
  let active = -1;
  let wanted = 0; // counts up, so that a list which comes after it was closed stays so

  function close() {
    clearTimeout(timer);
    wanted += 1;
    list.hidden = true;
    activate(-1);
    input.ariaExpanded = "false";
  }

  function activate(index) {
    active = index;
    [...list.children].forEach((option, n) => (option.ariaSelected = String(n === index)));
    list.children[index]?.scrollIntoView({ block: "nearest" });
    if (index < 0) input.removeAttribute("aria-activedescendant");
    else input.setAttribute("aria-activedescendant", list.children[index].id);
  }

  async function open() {
    const mine = (wanted += 1);
    let texts;
    try {
      texts = await find(input.value);
    } catch (error) {
      if (mine === wanted) close();
      return failed(error);
    }
    if (mine !== wanted) return;
    const marked = list.children[active]?.textContent;
    list.replaceChildren(
      ...texts.map((text, n) => Object.assign(make("li", "", text), { id: `${input.id}-${n}`, role: "option" })),
    );
    activate(texts.indexOf(marked));
    list.hidden = !texts.length;
    input.ariaExpanded = String(!list.hidden);
  }

  function pick(index) {
    input.value = list.children[index].textContent;
    close();
    picked();
  }

  input.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(open, TYPING_MS);
  });
  input.addEventListener("focus", () => input.value || open());
  input.addEventListener("blur", close);
  input.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) {
      event.preventDefault();
      const count = list.children.length;
      if (list.hidden) open();
      else activate((active < 0 && step < 0 ? count - 1 : active + step + count) % count);
    } else if (event.key === "Enter" && active >= 0) {
      event.preventDefault();
      pick(active);
    } else if (event.key === "Escape" && !list.hidden) {
      event.preventDefault();
      close();
    } else if (event.key === "Enter") {
      close();
    }
  });
  list.addEventListener("mousedown", (event) => event.preventDefault());
  list.addEventListener("click", (event) => {
    const option = event.target.closest("[role=option]");
    if (option) pick([...list.children].indexOf(option));
  });
}
