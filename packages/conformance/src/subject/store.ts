import { readdir, readFile, stat } from "node:fs/promises"
import { join } from "node:path"
import { must, skip } from "../check.ts"
import { type Descriptor, digestOf, type Manifest, parsed } from "../registry/content.ts"
import type { Harness } from "./harness.ts"

/** What a runtime has made, as it is in an OCI image layout of its folder (spec/conformance.md). */
export class Store {
  private constructor(readonly folder: string) {}

  /** Skips where the runtime keeps its content otherwise. */
  static async of({ home }: Harness): Promise<Store> {
    const names = await readdir(home, { withFileTypes: true })
    const below = names.filter((one) => one.isDirectory()).map(({ name }) => join(home, name))
    for (const folder of [home, ...below]) {
      const marked = await stat(join(folder, "oci-layout")).catch(() => undefined)
      if (marked?.isFile()) return new Store(folder)
    }
    return skip("the runtime keeps what it makes in no OCI image layout of its folder")
  }

  async has(digest: string): Promise<boolean> {
    return (await stat(this.#path(digest)).catch(() => undefined)) !== undefined
  }

  async bytes(digest: string): Promise<Buffer> {
    const bytes = await readFile(this.#path(digest)).catch(() => undefined)
    must(bytes, `the blob ${digest} is not in the store`)
    must(digestOf(bytes) === digest, `the blob ${digest} of the store has another digest`)
    return bytes
  }

  async manifest(digest: string): Promise<Manifest> {
    return parsed(await this.bytes(digest))
  }

  /** The document that a manifest's config is. */
  // biome-ignore lint/suspicious/noExplicitAny: a document whose members are looked at one by one
  async document(config: Descriptor | undefined): Promise<any> {
    must(config, "the manifest has no config")
    return JSON.parse((await this.bytes(config.digest)).toString())
  }

  #path(digest: string): string {
    return join(this.folder, "blobs/sha256", digest.slice("sha256:".length))
  }
}
