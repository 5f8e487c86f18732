"""Measurements that stand behind what README claims; each is a command of its own."""
