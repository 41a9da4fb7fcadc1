import type { FirecrackerCapabilities } from "./capabilities.ts"
import { type FirecrackerPlace, leaveJail, makeJail } from "./jail/place.ts"

/**
 * Gives `work` the place of a machine whose folder is `directory`: a jail where machines are jailed. If that fails,
 * nothing is left of it. Throws as makeJail and `work` do.
 */
export async function inWorkplace<T>(
  { binary, jailer }: Pick<FirecrackerCapabilities, "binary" | "jailer">,
  directory: string,
  work: (workplace: FirecrackerPlace) => Promise<T>,
): Promise<T> {
  if (!jailer) {
    // What it had in an earlier life must not be taken for this one's.
    await leaveJail(directory)
    return await work({ folder: directory })
  }
  const workplace = await makeJail(binary, jailer, directory)
  try {
    return await work(workplace)
  } catch (thrown) {
    await leaveJail(directory).catch(() => {})
    throw thrown
  }
}
