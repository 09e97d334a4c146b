/** One step of a glob below its prefix. */
export type GlobSegment =
  /** `**`: any number of folders; `hidden`: those whose names start with a dot too. */
  | { readonly kind: 'any-depth'; readonly hidden: boolean }
  /** One name, for a file or a folder. */
  | { readonly kind: 'name'; readonly matches: (name: string) => boolean };

/** A glob, ready to be walked: start in the folder `prefix` and follow each alternative's segments. */
export interface Glob {
  /** The leading folders without special characters, with a `/` at the end; empty for the current folder. Documents are named below it. */
  readonly prefix: string;
  /** The choices that braces give, each a path of segments; the last segment matches files. */
  readonly alternatives: readonly (readonly GlobSegment[])[];
  /** No special character at all: the path of one file, or of a folder. */
  readonly plain: boolean;
}

const SPECIAL = /[*?[\]{}\\]/;

/**
 * Parses a glob as shells know it: `*` and `?` within a name, `[a-z]` and `[!a-z]`, `{a,b}`, `**` for any depth, `\` before a
 * character to take it literally. A name that starts with a dot is matched only by a segment that does.
 */
export function parseGlob(pattern: string): Glob {
  const names = pattern.split('/');
  let fixed = names.findIndex((name) => SPECIAL.test(name));
  const plain = fixed < 0;
  if (plain) fixed = names.length - 1;
  const prefix = names.slice(0, fixed).join('/');
  const rest = names.slice(fixed).join('/');
  return {
    prefix: fixed === 0 ? '' : `${prefix}/`,
    alternatives: expandBraces(rest).map((alternative) => segmentsOf(alternative)),
    plain,
  };
}

/** Every file below a folder, hidden ones too: what naming the folder itself asks for. */
export function everythingBelow(folder: string): Glob {
  const segments: GlobSegment[] = [
    { kind: 'any-depth', hidden: true },
    { kind: 'name', matches: () => true },
  ];
  return { prefix: `${folder.replace(/\/+$/, '')}/`, alternatives: [segments], plain: false };
}

function segmentsOf(path: string): GlobSegment[] {
  const names = path.split('/').filter((name) => name !== '' && name !== '.');
  const segments = names.map((name): GlobSegment =>
    name === '**' ? { kind: 'any-depth', hidden: false } : nameSegment(name),
  );
  // `a/**` means the files at any depth.
  return segments.at(-1)?.kind === 'any-depth' ? [...segments, nameSegment('*')] : segments;
}

function nameSegment(pattern: string): GlobSegment {
  const expression = new RegExp(`^${nameExpression(pattern)}$`, 'su');
  const hidden = pattern.startsWith('.') || pattern.startsWith('\\.');
  return { kind: 'name', matches: (name) => (hidden || !name.startsWith('.')) && expression.test(name) };
}

function nameExpression(pattern: string): string {
  let expression = '';
  for (let at = 0; at < pattern.length; at++) {
    const character = pattern[at] as string;
    if (character === '*') expression += '.*';
    else if (character === '?') expression += '.';
    else if (character === '\\' && at + 1 < pattern.length) expression += literal(pattern[++at] as string);
    else if (character === '[') {
      const set = /^\[([!^]?)(\]?[^\]]*)\]/u.exec(pattern.slice(at));
      if (set === null) expression += literal(character);
      else {
        expression += `[${set[1] === '' ? '' : '^'}${(set[2] as string).replace(/[\\\]^[]/gu, '\\$&')}]`;
        at += set[0].length - 1;
      }
    } else expression += literal(character);
  }
  return expression;
}

function literal(character: string): string {
  return character.replace(/[\\^$.*+?()[\]{}|/]/u, '\\$&');
}

/** `a{b,c}d` is `abd` and `acd`; braces nest; a brace without its partner stands for itself. */
function expandBraces(pattern: string): string[] {
  let open = -1;
  let depth = 0;
  let commas: number[] = [];
  for (let at = 0; at < pattern.length; at++) {
    const character = pattern[at];
    if (character === '\\') at++;
    else if (character === '{') {
      if (depth++ === 0) open = at;
    } else if (character === ',' && depth === 1) commas.push(at);
    else if (character === '}' && depth > 0 && --depth === 0) {
      if (commas.length === 0) continue;
      const cuts = [open, ...commas, at];
      const tails = expandBraces(pattern.slice(at + 1));
      const choices = cuts
        .slice(1)
        .flatMap((cut, index) => expandBraces(pattern.slice((cuts[index] as number) + 1, cut)));
      const head = pattern.slice(0, open);
      return choices.flatMap((choice) => tails.map((tail) => head + choice + tail));
    }
    if (depth === 0) commas = [];
  }
  return [pattern];
}
