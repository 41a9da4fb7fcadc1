/**
 * The URL of the worker whose source is at `path` below src/. In the compiled program all modules have the program's
 * own URL, and workers are beside it.
 */
export function workerUrl(path: string): string {
  const compiled = import.meta.url.includes("/$bunfs/")
  return new URL(compiled ? `./${path}` : `../${path}`, import.meta.url).href
}
