/** The content of a file, which the kernel sends by itself. All that is Bun's own about files is here. */
export function fileContent(path: string): Blob {
  return Bun.file(path)
}
