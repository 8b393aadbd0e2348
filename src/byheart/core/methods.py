"""Every method: the name users type, where its class lives, and the paper it comes from. Data alone."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

Kind = Literal[
    "strategy", "unlearner", "editor", "merger", "retriever", "reranker", "reader", "updater", "writer", "exam", "world"
]

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Entry:
    """One method: the name users type, where its class lives, and the paper it comes from.

    `target` is `package.module:Class` below `byheart`. `defaults` are constructor settings that make
    this name differ from another entry of the same class.
    """

    name: str
    target: str
    paper: str | None = None
    arxiv: str | None = None
    kind: Kind = "strategy"
    defaults: dict[str, Any] = field(default_factory=dict, hash=False)

    @property
    def file(self) -> Path:
        """The source file of the class."""
        return ROOT / (self.target.split(":")[0].replace(".", "/") + ".py")


METHODS: tuple[Entry, ...] = (
    Entry("plain", "learn.plain:Plain"),
    Entry("lora", "learn.lora:LoRA", arxiv="2106.09685"),
    Entry("replay", "learn.replay:Replay"),
    Entry("self-replay", "learn.self_replay:SelfReplay"),
    Entry("kl", "learn.kl:KL"),
    Entry("l2-start", "learn.l2_start:L2ToStart", arxiv="1802.01483"),
    Entry("ewc", "learn.ewc:EWC", paper="ewc", arxiv="1612.00796"),
    Entry("online-ewc", "learn.ewc:EWC", paper="ewc", arxiv="1612.00796", defaults={"online": True}),
    Entry("lwf", "learn.lwf:LwF", arxiv="1606.09282"),
    Entry("a-gem", "learn.agem:AGEM", arxiv="1812.00420"),
    Entry("gem", "learn.gem:GEM", arxiv="1706.08840"),
    Entry("si", "learn.si:SI", arxiv="1703.04200"),
    Entry("mas", "learn.mas:MAS", arxiv="1711.09601"),
    Entry("icarl", "learn.icarl:ICaRL", arxiv="1611.07725"),
    Entry("replay-scheduling", "learn.replay_scheduling:ReplayScheduling", paper="replay-scheduling"),
    Entry("der++", "learn.derpp:DERpp", arxiv="2004.07211"),
    Entry("o-lora", "learn.olora:OLoRA", arxiv="2310.14152"),
    Entry("null-space", "learn.null_space:NullSpace", arxiv="2103.07113"),
    Entry("hft", "learn.hft:HFT", paper="hft", arxiv="2404.18466"),
    Entry(
        "spurious-forgetting",
        "learn.spurious_forgetting:FreezeBottom",
        paper="spurious-forgetting",
        arxiv="2501.13453",
    ),
    Entry("teach-lmm-skills", "learn.teach_lmm_skills:Selective", paper="teach-lmm-skills", arxiv="2510.08564"),
    Entry("view-batch", "learn.view_batch:ViewBatch", paper="view-batch", arxiv="2503.18371"),
    Entry("wise-ft", "learn.wise_ft:WiseFT", arxiv="2109.01903"),
    Entry("center-loss", "learn.center_loss:CenterLoss", paper="center-loss", arxiv="2110.11314"),
    Entry("uer", "learn.uer:UER", paper="uer", arxiv="2309.04081"),
    Entry("gere", "learn.gere:GeRe", paper="gere", arxiv="2508.04676"),
    Entry("mix-cd", "learn.mix_cd:MixCD", paper="mix-cd", arxiv="2402.08096"),
    Entry("loki", "learn.loki:LoKI", paper="loki", arxiv="2505.22120"),
    Entry(
        "spectral-regularization",
        "learn.spectral_regularization:SpectralRegularization",
        paper="spectral-regularization",
        arxiv="2406.06811",
    ),
    Entry("wasserstein", "learn.wasserstein:Wasserstein", paper="spectral-regularization", arxiv="2406.06811"),
    Entry(
        "sparse-memory-finetuning",
        "learn.sparse_memory_finetuning:SparseMemory",
        paper="sparse-memory-finetuning",
        arxiv="2510.15103",
    ),
    Entry("rehearsal-free", "learn.rehearsal_free:RehearsalFree", paper="rehearsal-free", arxiv="2203.17269"),
    Entry("rote-learning", "learn.rote_learning:RoteLearning", paper="rote-learning", arxiv="2507.21914"),
    Entry("sefe", "learn.sefe:SEFE", paper="sefe", arxiv="2505.02486"),
    Entry("ogd", "learn.ntk_overlap:OGD", arxiv="1910.07104"),
    Entry("pca-ogd", "learn.ntk_overlap:OGD", paper="ntk-overlap", arxiv="2010.04003", defaults={"samples": 3000}),
    Entry(
        "refresh-learning",
        "learn.refresh_learning:RefreshLearning",
        paper="refresh-learning",
        arxiv="2403.13249",
    ),
    Entry("fpf", "learn.fpf:FPF", paper="fpf", arxiv="2304.04158"),
    Entry("memento-no-more", "learn.memento_no_more:MementoNoMore", paper="memento-no-more", arxiv="2502.01562"),
    Entry("recall-merging", "learn.recall_merging:RecallMerging", paper="recall-merging", arxiv="2510.20479"),
    Entry("camels", "learn.camels:CaMeLS", paper="camels", arxiv="2305.15076"),
    Entry("siatl", "learn.siatl:SiATL", paper="siatl", arxiv="1902.10547"),
    Entry("self-tuning", "learn.self_tuning:SelfTuning", paper="self-tuning", arxiv="2406.06326"),
    Entry("coda-prompt", "learn.coda_prompt:CodaPrompt", paper="coda-prompt", arxiv="2211.13218"),
    Entry("tag", "learn.tag:TAG", paper="tag", arxiv="2105.05155"),
    Entry("npo", "forget.npo:NPO", arxiv="2404.05868", kind="unlearner"),
    Entry("relearn", "forget.relearn:Relearn", arxiv="1912.03817", kind="unlearner"),
    Entry("hybrid", "recall.retrieve.hybrid:Hybrid", kind="retriever"),
    Entry("bm25", "recall.retrieve.hybrid:Hybrid", kind="retriever", defaults={"dense": 0.0, "neighbours": 0.0}),
    Entry("dense", "recall.retrieve.hybrid:Hybrid", kind="retriever", defaults={"lexical": 0.0, "neighbours": 0.0}),
    Entry("ranked", "recall.retrieve.ranked:Ranked", kind="retriever"),
    Entry("memgas", "recall.retrieve.memgas:MemGAS", paper="memgas", arxiv="2505.19549", kind="retriever"),
    Entry(
        "reflective-memory",
        "recall.rerank.reflective_memory:RetrospectiveReflection",
        paper="reflective-memory",
        arxiv="2503.08026",
        kind="reranker",
    ),
    Entry(
        "prospective-reflection",
        "recall.update.reflective_memory:ProspectiveReflection",
        paper="reflective-memory",
        arxiv="2503.08026",
        kind="updater",
    ),
    Entry("lsh", "recall.retrieve.lsh:LSH", paper="think-in-memory", arxiv="2311.08719", kind="retriever"),
    Entry(
        "think-in-memory",
        "recall.update.think_in_memory:ThinkInMemory",
        paper="think-in-memory",
        arxiv="2311.08719",
        kind="updater",
    ),
    Entry(
        "keep-me-updated",
        "recall.update.keep_me_updated:KeepMeUpdated",
        paper="keep-me-updated",
        arxiv="2210.08750",
        kind="updater",
    ),
    Entry(
        "rememberer",
        "recall.update.rememberer:Rememberer",
        paper="rememberer",
        arxiv="2306.07929",
        kind="updater",
    ),
    Entry(
        "in-memory-learning",
        "recall.update.in_memory_learning:InMemoryLearning",
        paper="in-memory-learning",
        arxiv="2403.02757",
        kind="updater",
    ),
    Entry(
        "violation-of-expectation",
        "recall.update.violation_of_expectation:ViolationOfExpectation",
        paper="violation-of-expectation",
        arxiv="2310.06983",
        kind="updater",
    ),
    Entry(
        "long-context-rag",
        "recall.rerank.long_context_rag:Reorder",
        paper="long-context-rag",
        arxiv="2410.05983",
        kind="reranker",
    ),
    Entry(
        "attention-sorting",
        "recall.rerank.attention_sorting:AttentionSorting",
        paper="attention-sorting",
        arxiv="2310.01427",
        kind="reranker",
    ),
    Entry("cross-encoder", "recall.rerank.cross_encoder:CrossEncoder", arxiv="1901.04085", kind="reranker"),
    Entry(
        "chain-of-note",
        "recall.read.chain_of_note:ChainOfNote",
        paper="chain-of-note",
        arxiv="2311.09210",
        kind="reader",
    ),
    Entry(
        "adapt-retrieve-revise",
        "recall.read.adapt_retrieve_revise:AdaptRetrieveRevise",
        paper="adapt-retrieve-revise",
        arxiv="2310.03328",
        kind="reader",
    ),
    Entry(
        "atomic-facts",
        "recall.write.atomic_facts:AtomicFacts",
        paper="atomic-facts",
        arxiv="2503.19574",
        kind="writer",
    ),
    Entry("qa-memory", "recall.write.qa_memory:QAMemory", paper="qa-memory", arxiv="2204.04581", kind="writer"),
    Entry(
        "structural-memory",
        "recall.write.structural_memory:StructuralMemory",
        paper="structural-memory",
        arxiv="2412.15266",
        kind="writer",
    ),
    Entry("arm-rag", "recall.write.arm_rag:ArmRAG", paper="arm-rag", arxiv="2311.04177", kind="writer"),
    Entry(
        "llm-embedder",
        "recall.retrieve.llm_embedder:LLMEmbedder",
        paper="llm-embedder",
        arxiv="2310.07554",
        kind="retriever",
    ),
    Entry(
        "triples",
        "recall.write.structural_memory:StructuralMemory",
        paper="structural-memory",
        arxiv="2412.15266",
        kind="writer",
        defaults={"kinds": ("triple",)},
    ),
    Entry(
        "summaries",
        "recall.write.structural_memory:StructuralMemory",
        paper="structural-memory",
        arxiv="2412.15266",
        kind="writer",
        defaults={"kinds": ("summary",)},
    ),
    Entry(
        "iterative",
        "recall.retrieve.iterative:Iterative",
        paper="structural-memory",
        arxiv="2412.15266",
        kind="retriever",
    ),
)
