/** Colors of terminals (ANSI SGR) as classes. */

export interface Span {
  text: string;
  classes: string;
}

const ESCAPE = /\x1b\[([0-9;]*)([A-Za-z])|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[@-_]/g;

/** Split a line into spans of one style. Unknown escape sequences are dropped. */
export function spans(line: string): Span[] {
  const found: Span[] = [];
  const style = new Set<string>();
  let end = 0;
  const add = (text: string) => text && found.push({ text, classes: [...style].join(" ") });
  for (const match of line.matchAll(ESCAPE)) {
    add(line.slice(end, match.index));
    end = match.index + match[0].length;
    if (match[2] === "m") apply(style, match[1] ?? "");
  }
  add(line.slice(end));
  return found;
}

function apply(style: Set<string>, codes: string): void {
  const numbers = codes.split(";").map(Number);
  for (let index = 0; index < numbers.length; index += 1) {
    const code = numbers[index] ?? 0;
    if (code === 0) style.clear();
    else if (code === 1) style.add("bold");
    else if (code === 2) style.add("dim");
    else if (code === 3) style.add("italic");
    else if (code === 4) style.add("underline");
    else if (code === 22) drop(style, /^(bold|dim)$/);
    else if (code === 39) drop(style, /^fg-/);
    else if ((code >= 30 && code <= 37) || (code >= 90 && code <= 97)) {
      drop(style, /^fg-/);
      style.add(`fg-${code % 10}`);
    } else if (code === 38 || code === 48) index += numbers[index + 1] === 5 ? 2 : 4;
  }
}

function drop(style: Set<string>, pattern: RegExp): void {
  for (const name of style) if (pattern.test(name)) style.delete(name);
}
