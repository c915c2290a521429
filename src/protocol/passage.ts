/** A piece of text that search can return. */
export interface Passage {
  readonly id: string;
  readonly title: string;
  readonly text: string;
}
