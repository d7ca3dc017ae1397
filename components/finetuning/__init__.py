"""Finetuning: registered trunk + labelled data -> branch, and its twin from random weights."""
