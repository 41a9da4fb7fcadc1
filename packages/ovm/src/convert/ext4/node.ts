/** What a file of the tree is. */
export type NodeKind = "file" | "folder" | "link" | "character" | "block" | "pipe"

/** Where a file's content is, in the file that all of them were put aside in. Bytes. */
export interface StoredContent {
  readonly at: number
  readonly size: number
}

/**
 * One file, folder or other thing of a tree, whatever names it has. Texts have a byte of a name or value in each
 * character: a name need not be UTF-8.
 */
export class Node {
  mode = 0o755
  uid = 0
  gid = 0
  /** When it was changed last: since 1970. */
  seconds = 0
  nanoseconds = 0
  /** Of a file. */
  content: StoredContent = { at: 0, size: 0 }
  /** Of a link: where it leads. */
  target = ""
  /** Of a device: major and minor number. */
  device: readonly [number, number] = [0, 0]
  /** Extended attributes by their names in full. */
  attributes: ReadonlyMap<string, string> | undefined
  /** Of a folder, by name. */
  readonly children: Map<string, Node> | undefined
  /** How many names lead to it. */
  names = 0
  /** Of a folder: the one that it is in. */
  parent: Node | undefined
  /** Its number in the file system, once it has one. */
  inode = 0

  constructor(readonly kind: NodeKind) {
    this.children = kind === "folder" ? new Map() : undefined
  }
}
