"""From predictions to a network of one's own: which sections to correct first, and what it gains.

candidates      what a folder of `sebre predict` tells of its sections
next_sections   their order, and the reasons for it (`sebre next`)
measure_gain    fine-tuning on the sections chosen, against a choice by chance
"""
