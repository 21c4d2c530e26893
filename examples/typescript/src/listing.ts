/** Walk through a list page by page. Only the query of a `next` link is used, and no query may occur twice. */

import { ResponseParseError } from "./errors.js";

/** A filter's value: text, number or boolean, or a list of them; null omits the filter. */
export type Filter = string | number | boolean | null | readonly (string | number | boolean)[];
export type Filters = Readonly<Record<string, Filter>>;

interface Page<Item> {
  count: number;
  next: string | null;
  results: Item[];
}

/** Write filters as a query, with one parameter for each value. */
export function queryOf(filters: Filters): string {
  const pairs = Object.entries(filters).flatMap(([name, value]) =>
    (Array.isArray(value) ? value : [value]).filter((each) => each !== null).map((each) => [name, String(each)]),
  );
  return new URLSearchParams(pairs).toString();
}

/** Yield the pages of a list in order, each checked. */
export async function* pagesOf<Item>(
  fetchPage: (filters: Filters) => Promise<Page<Item>>,
  filters: Filters,
): AsyncGenerator<Page<Item>> {
  const seen = new Set<string>();
  let next: Filters | null = filters;
  while (next !== null) {
    const query = queryOf(next);
    if (seen.has(query)) {
      throw new ResponseParseError(`The list is circular: ?${query} occurs twice.`);
    }
    seen.add(query);
    const page: Page<Item> = checked(await fetchPage(next));
    yield page;
    next = page.next === null ? null : filtersOf(page.next);
  }
}

function checked<Item>(page: Page<Item>): Page<Item> {
  const { results, next = null, count } = page;
  if (!Array.isArray(results)) {
    throw new ResponseParseError(`A page of releases has no list of 'results', but ${Object.keys(page).join(", ")}.`);
  }
  if (next !== null && typeof next !== "string") {
    throw new ResponseParseError(`A page's 'next' is neither text nor null, but ${String(next)}.`);
  }
  if (!Number.isInteger(count)) {
    throw new ResponseParseError(`A page's 'count' is not an integer, but ${String(count)}.`);
  }
  return { ...page, next };
}

/** Return a link's query by name; origin and path stay our own, so that a token never leaves for another host. */
function filtersOf(link: string): Filters {
  let url: URL;
  try {
    url = new URL(link, "http://agent.invalid/plugin_releases/");
  } catch (error) {
    throw new ResponseParseError(`A page's 'next' is not an address, but '${link}' (${String(error)}).`);
  }
  const names = [...new Set(url.searchParams.keys())];
  return Object.fromEntries(names.map((name) => [name, url.searchParams.getAll(name)]));
}
