import { escaped } from "./escape.ts"

/** Width of a character of the badge's font, near enough. */
const CHARACTER = 6.6

/** An SVG of two words, as badges are: what was claimed, and whether it holds. */
export function badge(label: string, value: string, passed: boolean): string {
  const [left, right] = [label, value].map((text) => Math.round(text.length * CHARACTER + 12))
  if (left === undefined || right === undefined) throw new Error("a badge has two words")
  const title = escaped(`${label}: ${value}`)
  const word = (text: string, x: number) =>
    `<text x="${x}" y="14" text-anchor="middle">${escaped(text)}</text>`
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${left + right}" height="20" role="img" aria-label="${title}">
<title>${title}</title>
<rect width="${left}" height="20" fill="#444"/>
<rect x="${left}" width="${right}" height="20" fill="${passed ? "#1a7f37" : "#b42318"}"/>
<g fill="#fff" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11">${word(label, left / 2)}${word(value, left + right / 2)}</g>
</svg>
`
}
