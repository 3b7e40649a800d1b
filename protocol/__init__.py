"""The end-to-end protocol between the cloud and a vehicle: the one package both sides import.

`broker` names the subjects and streams, `envelope` packs and unpacks what travels on them.
"""
