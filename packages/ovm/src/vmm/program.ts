import { programAt, programOnPath } from "../host/program.ts"

/** A program on disk; the three change whenever another version is installed. */
export interface Binary {
  readonly path: string
  readonly size: number
  readonly mtimeMs: number
}

/** `said`, where somebody said where it is, or the first program called `name` on PATH; undefined if there is none. */
export function findBinary(
  name: string,
  said: string | undefined,
  env: Record<string, string | undefined>,
): Binary | undefined {
  const path = said || programOnPath(name, env)
  const found = path ? programAt(path) : undefined
  return path && found ? { path, size: found.size, mtimeMs: found.mtimeMs } : undefined
}
