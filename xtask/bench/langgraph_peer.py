"""The peer of `cargo xtask bench`: LangGraph with its SQLite saver (WAL, FULL, durability="sync"), one node, an
instant model. Prints one JSON object a line. `langgraph_peer.py FOLDER TURNS THREADS`"""

import json
import os
import sqlite3
import statistics
import sys
import time
from typing import Annotated, TypedDict

from langchain_core.messages import AIMessage, HumanMessage
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages

# Text of an input and of an answer, bytes: 320 a turn.
SAID = 160
# Turns at which figures are printed, and how many turns around them count.
PLACES = (10, 100, 500, 1_000)
WINDOW = 20


class State(TypedDict):
    messages: Annotated[list, add_messages]


def graph(saver):
    def model(state):
        return {"messages": [AIMessage("a" * SAID)]}

    builder = StateGraph(State)
    builder.add_node("model", model)
    builder.add_edge(START, "model")
    builder.add_edge("model", END)
    return builder.compile(checkpointer=saver)


def size(folder):
    return sum(os.path.getsize(os.path.join(folder, name)) for name in os.listdir(folder))


def main():
    folder, turns, threads = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    os.makedirs(folder, exist_ok=True)
    connection = sqlite3.connect(os.path.join(folder, "peer.db"), check_same_thread=False)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    saver = SqliteSaver(connection)
    saver.setup()
    compiled = graph(saver)
    took = {}
    sizes = {}
    for thread in range(threads):
        config = {"configurable": {"thread_id": str(thread)}}
        for turn in range(1, turns + 1):
            begun = time.process_time()
            compiled.invoke({"messages": [HumanMessage("u" * SAID)]}, config, durability="sync")
            took.setdefault(turn, []).append((time.process_time() - begun) * 1e6)
            if turn in PLACES and thread == 0:
                sizes[turn] = size(folder)
    for place in PLACES:
        if place > turns:
            break
        half = min(WINDOW // 2, place // 2)
        window = [value for turn in range(place - half, min(place + half, turns) + 1) for value in took[turn]]
        line = {"turns": place, "cpu_us_per_turn": round(statistics.median(window), 1), "bytes": sizes[place]}
        print(json.dumps(line))


main()
