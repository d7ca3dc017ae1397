"""Finetuning: registered trunk + labelled data -> branch, and the same runs from other starts."""
