/** Does `work`, which writes the file `path`: the system's own errors do not say to which, or name a temporary one. */
export async function writing<T>(path: string, work: () => T | Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    throw named(path, error)
  }
}

/** The system's error `thrown`, with `path` as the file that it is about. Others are left alone. */
export function named(path: string, thrown: unknown): unknown {
  return thrown instanceof Error && "code" in thrown ? Object.assign(thrown, { path }) : thrown
}
