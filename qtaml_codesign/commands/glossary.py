"""`codesign glossary`: what the words of the tables mean."""

from __future__ import annotations

from qtaml_codesign.commands.show import say

TERMS: tuple[tuple[str, str], ...] = (
    ("flip probability p",
     "chance that one stored bit flips within one inference window."),
    ("regime",
     "where p comes from, by the mean number of escaped electrons against the k + 1 that a flip needs: rare (below "
     "a tenth of them), transition, high-escape (above them; p is beyond about one half)."),
    ("trial",
     "one drawing of all flips in all stored bits, followed by the whole evaluation set. It is the statistical "
     "unit: the samples of one trial share the same flipped weights."),
    ("metric",
     "what is measured on the outputs: accuracy, unless the workload or --metric names another. Where smaller is "
     "better (cross-entropy, perplexity, rmse, mae), a target is kept by what lies below it."),
    ("clean accuracy",
     "accuracy of the float network: no quantisation, no flips; clean rmse and so on for another metric."),
    ("target",
     "what is to be kept. A bare number is a multiple of the clean value: 0.95, 95% or '0.95 x clean'; 'clean - 0.02' "
     "and 'clean + 0.1' are distances from it; '= 12.5' is a value of its own. Default: 0.95 x clean, or 1.05 x clean "
     "where smaller is better."),
    ("budget",
     "the protected-bit fraction that a plan may spend: 0.05, or 5%, is 5 % of the stored bits."),
    ("cells",
     "memory cells per weight that a method which chooses the store (channel-optimised, joint) may spend: its "
     "currency in place of a budget, and what a memory designer pays for. Plain codes take as many as they have bits, "
     "8 mostly, however many of these are protected."),
    ("store",
     "how the weights of a tensor, or of some of its output channels or blocks, are held in cells: which word each "
     "weight is written as, and what a read word is taken for."),
    ("block",
     "a run of weights of a flattened tensor, such as lie in one line of the memory, with a mean and a scale of its "
     "own (64 bits beside the cells), in place of the output channels; the last one may be shorter."),
    ("channel-optimised",
     "a store whose words and reader are those of least expected squared error under the flips; nothing is protected "
     "and nothing decoded. The tables of the reader hang on the cells alone and serve every network."),
    ("joint",
     "each output channel is dropped (read as its mean), in channel-optimised words, or in bits under a real code, "
     "within so many cells per weight. It is made for one flip probability: a code fails soon above it."),
    ("tac-c",
     "channel-wise TAC: protected bits, scale and readout for every output channel; the readout is fitted to the "
     "clean network's outputs, without labels."),
    ("auto",
     "the method that moves the outputs least: expected errors choose two, the calibration inputs decide."),
    ("decoding (--decode)",
     "a codeword of a real code can be lost, and then many of its data bits are wrong together. Trials draw that as it "
     "was measured by decoding some 2,000 words; --decode encodes, flips and decodes in every trial instead."),
    ("expected error and floor",
     "expected squared error of the outputs when the errors of single weights are added up; large errors do not add up "
     "so, only their order is to be trusted. Shannon's floor is the least that any store of so many cells reaches."),
    ("overhead",
     "the protected-bit fraction that a plan does spend. A budget buys whole bit planes of whole layers, so it may "
     "not be used up. It counts protected bits, not the cells of a code: see Shannon."),
    ("Shannon",
     "a protected bit is an idealisation. Any real code needs at least 1/C - 1 extra cells per protected bit, C = "
     "1 - H2(p) being the capacity of a cell that flips with p."),
    ("bit plane",
     "the bits of one significance of all weights of a layer; plane 0 is the least significant bit (LSB), the last "
     "one the most significant (MSB)."),
    ("depth k",
     "how many bit planes of a layer are protected: the top ones, or, where planes differ in their flips, those that "
     "vary most what is read."),
    ("gain J",
     "Jacobian gain of a layer: root mean squared response of the logits to a change of one of its weights."),
    ("score",
     "what a method ranks layers by; TAC: ||W||_inf^2 J^2, the output variance that one plane's flips cause per "
     "weight, up to a constant."),
    ("correction",
     "mean correction: flips shrink the weight that is read by 1 - 2p on average, which a factor on the layer "
     "undoes where that helps."),
    ("TAC",
     "Tunneling-Aware Compensation: bit planes are protected where they lower the output variance most, layers are "
     "corrected where that helps; no retraining, no labels."),
    ("Uniform-MSP",
     "uniform most-significant-plane protection: the same number of top planes in every layer."),
    ("rho*",
     "saturation ratio of the scores, the predicted output variance of TAC over that of Uniform-MSP; 1 where all "
     "layers matter alike, small where few do."),
    ("residual floor",
     "layers inside residual blocks keep at least one protected plane, as errors add up along the skip connection."),
    ("thinnest oxide",
     "the thickness from which on the metric keeps the target; [low,high] is where the ends of its 95 % interval "
     "over trials do. <= and > mean that it lies outside the thicknesses that were looked at."),
    ("card range",
     "the same answer with one number of the card at the low and at the high end of its own range."),
    ("realised BER",
     "bit error rate: flips that were drawn, over exposed cells; nominal BER is what the law expects."),
)


def glossary() -> None:
    """What the words of the tables mean.

    \b
    Example:
      codesign glossary
    """
    for word, meaning in TERMS:
        say(f"{word}: {meaning}")


def as_markdown() -> str:
    """The glossary as the text of docs/glossary.md."""
    return "# Glossary\n\n" + "\n".join(f"- **{word}**: {meaning}" for word, meaning in TERMS) + "\n"
