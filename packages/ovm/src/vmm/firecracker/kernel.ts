import { Cache } from "../../cache/cache.ts"
import { sha256 } from "../../content/digest.ts"
import type { Call } from "../../content/interfaces.ts"
import { openRegular } from "../../files/regular.ts"
import { checkKernel } from "../../kernel.ts"
import { unpackKernel } from "./unpack.ts"

/** Part of the cache's key: another number makes all of them anew. */
const RECIPE = "vmlinux-1"
const CHUNK = 1 << 20

/**
 * The ELF file that Firecracker boots in place of the kernel at `path`: that itself, or what a bzImage has inside,
 * unpacked once into the cache and kept by the bzImage's digest. Throws OVM_KERNEL_INVALID, OVM_UNSUPPORTED for what
 * cannot be unpacked, OVM_NO_SPACE and what reading throws.
 */
export async function vmlinuxOf(path: string, cacheFolder: string, call: Call = {}): Promise<string> {
  if ((await checkKernel(path)) === "elf") return path
  const key = { recipe: RECIPE, digest: await digestOfFile(path) }
  return await new Cache(cacheFolder).get(
    key,
    {
      make: (into, call) => unpackKernel(path, into, call),
      // Unpacking it again is as quick as looking.
      verify: async () => false,
    },
    { ...call, source: key.digest },
  )
}

async function digestOfFile(path: string) {
  await using file = await openRegular(path)
  const hash = sha256()
  const buffer = Buffer.allocUnsafe(CHUNK)
  for (;;) {
    const { bytesRead } = await file.read(buffer, 0, CHUNK, null)
    if (bytesRead === 0) return hash.digest()
    hash.update(buffer.subarray(0, bytesRead))
  }
}
