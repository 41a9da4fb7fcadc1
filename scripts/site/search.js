// Every word has to be there; in a title it counts for more.
const MOST = 30
const box = document.getElementById("search")
const found = document.getElementById("found")
const article = document.querySelector("article")

function rank([, page, section, text], words) {
  let points = 0
  for (const word of words) {
    const inSection = section.toLowerCase().includes(word)
    const inPage = page.toLowerCase().includes(word)
    if (!inSection && !inPage && !text.toLowerCase().includes(word)) return 0
    points += 1 + (inSection ? 8 : 0) + (inPage ? 3 : 0)
  }
  return points
}

function shown([path, page, section, text], words) {
  const item = document.createElement("li")
  const link = document.createElement("a")
  link.href = window.ROOT + path
  link.textContent = page === section ? page : `${page}: ${section}`
  const part = document.createElement("p")
  const at = Math.max(0, text.toLowerCase().indexOf(words[0]) - 60)
  part.textContent = `${at > 0 ? "…" : ""}${text.slice(at, at + 200)}…`
  item.append(link, part)
  return item
}

function look() {
  const words = box.value.toLowerCase().split(/\s+/).filter(Boolean)
  found.hidden = words.length === 0
  article.hidden = words.length > 0
  if (words.length === 0) return
  const ranked = window.INDEX.map((entry) => [rank(entry, words), entry]).filter(([points]) => points > 0)
  ranked.sort(([one], [other]) => other - one)
  const items = ranked.slice(0, MOST).map(([, entry]) => shown(entry, words))
  if (items.length === 0) {
    const nothing = document.createElement("li")
    nothing.textContent = "Nothing has all of these words."
    items.push(nothing)
  }
  found.replaceChildren(...items)
}

box.addEventListener("input", look)
document.addEventListener("keydown", (event) => {
  if (event.key !== "/" || /^(INPUT|TEXTAREA)$/.test(document.activeElement?.tagName ?? "")) return
  event.preventDefault()
  box.focus()
})
found.addEventListener("click", () => {
  box.value = ""
  setTimeout(look)
})
