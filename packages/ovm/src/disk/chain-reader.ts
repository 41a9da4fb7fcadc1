import { type DiskReader, withDisk } from "./file.ts"
import { Lookup } from "./lookup.ts"

export interface ChainFile {
  readonly path: string
  readonly format: "qcow2" | "raw"
}

type Layer = DiskReader | Lookup

/** What a guest would read of a chain of layers that have passed inspectDisk. */
export class ChainReader {
  constructor(private readonly layers: readonly Layer[]) {}

  /**
   * `length` bytes from `at`, zeros beyond the end of a layer; undefined where a layer has them in a way that this does
   * not read. They are put into `into`, if given, which has that length.
   */
  async read(
    at: number,
    length: number,
    into?: Uint8Array<ArrayBuffer>,
  ): Promise<Uint8Array<ArrayBuffer> | undefined> {
    const bytes = into?.fill(0) ?? new Uint8Array(length)
    return (await this.#fill(bytes, at, this.layers.length - 1)) ? bytes : undefined
  }

  async #fill(into: Uint8Array<ArrayBuffer>, at: number, level: number): Promise<boolean> {
    const layer = this.layers[level]
    if (!layer) return true
    if (!(layer instanceof Lookup)) {
      const length = Math.max(0, Math.min(into.length, layer.size - at))
      if (length > 0) await layer.read(at, length, "data", into.subarray(0, length))
      return true
    }
    const { clusterSize } = layer.header
    for (let done = 0; done < into.length; ) {
      const within = (at + done) % clusterSize
      const part = into.subarray(done, done + Math.min(into.length - done, clusterSize - within))
      if (!(await this.#fillPart(part, at + done, level))) return false
      done += part.length
    }
    return true
  }

  /** Of a part that lies in one cluster of the layer. */
  async #fillPart(part: Uint8Array<ArrayBuffer>, at: number, level: number): Promise<boolean> {
    const layer = this.layers[level] as Lookup
    const { clusterSize, virtualSize } = layer.header
    const found = at < virtualSize ? await layer.find(Math.floor(at / clusterSize)) : undefined
    const within = at % clusterSize
    switch (found?.kind) {
      case undefined:
      case "zero":
        return true
      case "none":
        return await this.#fill(part, at, level - 1)
      case "strange":
        return false
      case "packed": {
        const bytes = await layer.unpack(found)
        if (bytes) part.set(bytes.subarray(within, within + part.length))
        return bytes !== undefined
      }
      case "data": {
        // The last cluster of a disk may be cut short.
        const length = Math.min(part.length, layer.disk.size - found.at - within)
        await layer.disk.read(found.at + within, length, "data", part.subarray(0, length))
        return true
      }
    }
  }
}

/** Opens files, the lowest first, for the time that `use` takes. Throws as withDisk does. */
export async function withLayers<T>(
  files: readonly ChainFile[],
  use: (layers: readonly Layer[]) => Promise<T>,
  opened: readonly Layer[] = [],
): Promise<T> {
  const [first, ...others] = files
  if (!first) return await use(opened)
  return await withDisk(first.path, async (disk) =>
    withLayers(others, use, [...opened, first.format === "raw" ? disk : await Lookup.of(disk)]),
  )
}
