import type { ChainFile } from "./chain-reader.ts"
import { withDisk } from "./file.ts"
import { readHeader } from "./header.ts"
import { MAX_VIRTUAL_SIZE } from "./inspect.ts"

/** Bytes of the disk in a file, by its header alone. Throws as withDisk and readHeader do. */
export async function sizeOfDisk({ path, format }: ChainFile): Promise<number> {
  return await withDisk(path, async (file) =>
    format === "raw" ? file.size : (await readHeader(file, MAX_VIRTUAL_SIZE)).virtualSize,
  )
}
