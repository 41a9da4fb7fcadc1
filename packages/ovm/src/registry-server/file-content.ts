// All that is Bun's own about files is here.

/** The content of a file, which the kernel sends by itself. */
export function fileContent(path: string): Blob {
  return Bun.file(path)
}

/** From this size on it matters how content is sent; bytes. */
const LARGE = 1024 * 1024

/**
 * `content` as the body of an answer. To a client on this host large content is not sent by the kernel: the client
 * would have to fetch every byte out of memory, where what was read just before is still in the cache
 * (docs/design/0011-transfer.md).
 */
export function bodyTo(near: boolean, content: Blob): Blob | AsyncIterable<Uint8Array> {
  // Not the stream itself, which is known to be a file's and sent like one.
  return near && content.size >= LARGE ? chunks(content) : content
}

async function* chunks(content: Blob): AsyncIterable<Uint8Array> {
  yield* content.stream()
}
