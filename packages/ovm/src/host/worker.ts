/**
 * Where the worker is that stands at `path` below src/: in the compiled program all modules have the program's own URL.
 */
export function workerUrl(path: string): string {
  const compiled = import.meta.url.includes("/$bunfs/")
  return new URL(compiled ? `./${path}` : `../${path}`, import.meta.url).href
}
