/** The text of the first element of that name in an answer of S3's: flat XML, whose elements never hold one of their own name. */
export function textOf(xml: string, name: string): string | undefined {
  return textsOf(xml, name)[0]
}

/** What stands in each element of that name, in order. */
export function textsOf(xml: string, name: string): string[] {
  const found = xml.matchAll(new RegExp(`<${name}>([\\s\\S]*?)</${name}>`, 'g'))
  return [...found].map(([, inner]) => unescape(inner!))
}

const ENTITIES: Readonly<Record<string, string>> = { lt: '<', gt: '>', quot: '"', apos: "'", amp: '&' }

function unescape(text: string): string {
  return text.includes('<')
    ? text
    : text.replaceAll(/&(lt|gt|quot|apos|amp|#\d+|#x[\da-f]+);/gi, (_, entity: string) =>
        entity.startsWith('#')
          ? String.fromCodePoint(Number(entity.replace('#x', '0x').replace('#', '')))
          : ENTITIES[entity.toLowerCase()]!,
      )
}
