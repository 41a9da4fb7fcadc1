import { FIRST_INODE, ROOT_INODE } from "./geometry.ts"
import type { Node } from "./node.ts"

/**
 * Numbers all that the tree below `root` has, and returns it in that order, the root first. What is in one folder has
 * numbers that follow each other, in the order of the bytes of its names, whatever order they came in.
 */
export function survey(root: Node): Node[] {
  const all = [root]
  root.inode = ROOT_INODE
  root.names = 1
  const folders = [root]
  let next = FIRST_INODE
  for (let folder = folders.pop(); folder; folder = folders.pop()) {
    const below: Node[] = []
    for (const child of inOrder(folder)) {
      if (child.inode !== 0) {
        child.names++
        continue
      }
      child.names = 1
      child.inode = next++
      all.push(child)
      if (!child.children) continue
      child.parent = folder
      below.push(child)
    }
    folders.push(...below.reverse())
  }
  return all
}

function inOrder({ children }: Node): readonly Node[] {
  if (!children) return []
  const sorted = [...children].sort(([one], [other]) => (one < other ? -1 : 1))
  children.clear()
  for (const [name, child] of sorted) children.set(name, child)
  return sorted.map(([, child]) => child)
}
