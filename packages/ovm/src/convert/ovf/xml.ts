import { type QualifiedTag, parser as saxParser } from "sax"

/** An element, by its local name. */
export interface Element {
  readonly name: string
  /** Of its namespace. */
  readonly uri: string
  /** By their local names. */
  readonly attributes: Readonly<Record<string, string>>
  readonly children: readonly Element[]
  readonly text: string
}

const OPTIONS = { xmlns: true, strictEntities: true }
const [MOST_DEPTH, MOST_ELEMENTS, MOST_ATTRIBUTES] = [64, 50_000, 256]
/** Of the text, at a time, in characters: the parser holds each attribute of an element against all before it. */
const STEP = 4096

/**
 * The root element of a document. Throws an Error that says why it is none, or has a document type: whose entities
 * could stand for anything.
 */
export function parseXml(text: string): Element {
  const parser = saxParser(true, OPTIONS)
  const open: (Element & { children: Element[]; text: string })[] = []
  let root: Element | undefined
  let count = 0
  const stop = (reason: string) => {
    throw new Error(reason)
  }
  parser.onerror = (error) => stop(error.message.split("\n").slice(0, 2).join(", "))
  parser.ondoctype = () => stop("it has a document type")
  parser.onopentag = (tag) => {
    const { local: name, uri, attributes: all } = tag as QualifiedTag
    if (open.length >= MOST_DEPTH || ++count > MOST_ELEMENTS) stop("it has too many elements")
    const attributes = Object.fromEntries(Object.values(all).map(({ local, value }) => [local, value]))
    const element = { name, uri, attributes, children: [], text: "" }
    open.at(-1)?.children.push(element)
    root ??= element
    open.push(element)
  }
  const put = (text: string) => {
    const element = open.at(-1)
    if (element) element.text += text
  }
  parser.ontext = put
  parser.oncdata = put
  parser.onclosetag = () => void open.pop()
  for (let at = 0; at < text.length; at += STEP) {
    parser.write(text.slice(at, at + STEP))
    const { attribList = [] } = parser as { readonly attribList?: readonly unknown[] }
    if (attribList.length > MOST_ATTRIBUTES) stop("it has an element of too many attributes")
  }
  parser.close()
  return root ?? stop("it has no element")
}

/** Its elements of that name. */
export function childrenOf({ children }: Element, ...names: readonly string[]): readonly Element[] {
  return children.filter(({ name }) => names.includes(name))
}

/** The text of its first element of that name. */
export function childText(element: Element, name: string): string | undefined {
  return childrenOf(element, name)[0]?.text.trim()
}
