// Batches of [headline, company] pairs on stdin -> their probabilities by label on stdout, by transformers.js.
//
//     node score.mjs < '{"root": folder of model folders, "name": one of them, "batches": [[[headline, company]]]}'
//
// Nothing is fetched. No company is a blank: an empty second text would be left out, its separator with it.

import { text } from "node:stream/consumers";
import { AutoModelForSequenceClassification, AutoTokenizer, env, softmax } from "@huggingface/transformers";

const { root, name, batches } = JSON.parse(await text(process.stdin));
env.allowRemoteModels = false;
env.localModelPath = root;

const tokenizer = await AutoTokenizer.from_pretrained(name);
const model = await AutoModelForSequenceClassification.from_pretrained(name, { dtype: "q8" });

const scores = [];
for (const pairs of batches) {
  const inputs = tokenizer(
    pairs.map(([headline]) => headline),
    { text_pair: pairs.map(([, company]) => company || " "), padding: true, truncation: true },
  );
  const { logits } = await model(inputs);
  for (const row of logits.tolist()) {
    scores.push(Object.fromEntries(softmax(row).map((p, i) => [model.config.id2label[i], p])));
  }
}
console.log(JSON.stringify(scores));
