import { OvmError } from "../errors.ts"
import type { Operation } from "./operation.ts"

/** Finds operations by their paths, in which each `{name}` stands for one segment, an empty one too. */
export class Router {
  readonly #routes: readonly Route[]

  constructor(operations: readonly Operation[]) {
    const routes = [...Map.groupBy(operations, ({ path }) => path)].map(
      ([path, these]) => new Route(path, these),
    )
    // A word of its own goes before a parameter: the path with fewer parameters is tried first.
    this.#routes = routes.toSorted((a, b) => a.parameters - b.parameters)
  }

  /** The operations at `pathname`; undefined if there is no such path. */
  find(pathname: string): RouteMatch | undefined {
    const segments = pathname.split("/")
    const route = this.#routes.find((route) => route.fits(segments))
    return route && { operations: route.operations, parameters: () => route.parametersOf(segments) }
  }
}

export interface RouteMatch {
  /** One a method. */
  readonly operations: readonly Operation[]
  /** What stands for each name, decoded. Throws OVM_REQUEST_INVALID for a malformed escape. */
  parameters(): Record<string, string>
}

class Route {
  readonly #parts: readonly { readonly word: string; readonly name: string | undefined }[]

  constructor(
    path: string,
    readonly operations: readonly Operation[],
  ) {
    this.#parts = path.split("/").map((word) => ({ word, name: /^\{(\w+)\}$/.exec(word)?.[1] }))
  }

  get parameters(): number {
    return this.#parts.filter(({ name }) => name !== undefined).length
  }

  fits(segments: readonly string[]): boolean {
    if (segments.length !== this.#parts.length) return false
    return this.#parts.every(({ word, name }, at) => name !== undefined || word === segments[at])
  }

  parametersOf(segments: readonly string[]): Record<string, string> {
    const pairs = this.#parts.flatMap(({ name }, at) =>
      name === undefined ? [] : [[name, decode(segments[at] ?? "")] as const],
    )
    return Object.fromEntries(pairs)
  }
}

function decode(segment: string): string {
  try {
    return decodeURIComponent(segment)
  } catch (cause) {
    throw new OvmError("OVM_REQUEST_INVALID", `the path has a malformed escape: ${segment.slice(0, 100)}`, {
      cause,
    })
  }
}
