"""Words of the operator's other calls: alarms, trouble tickets, and whatever engineers ask."""

from __future__ import annotations

from metier.labs import open_phrases

WORDS: dict[str, tuple[str, ...]] = {
    "site": tuple(f"{town}{n:03}" for town in ("LIND", "HAVN", "OSTB", "KIRK", "FELD", "BRUK") for n in range(1, 90)),
    "sector": ("1", "2", "3"),
    "board": ("BBU slot 2", "RRU 1", "AAU 3", "AAU 1", "UBBP slot 4", "the fan tray", "UMPT slot 7", "RRU 0"),
    "hours": tuple(f"{hour:02}:{minute:02}" for hour in range(24) for minute in range(60)),
    "many": tuple(map(str, range(3, 96))),
    "who": ("the NOC", "field team A", "the night shift", "the vendor's hotline", "field team B", "the landlord"),
    "band": ("n78", "n28", "n1", "n3", "n258"),
    "topic": (
        "carrier aggregation", "the RACH procedure", "massive MIMO", "QoS flows", "network slicing", "RRC states",
        "SSB beam sweeping", "time synchronisation", "the F1 interface", "dual connectivity", "handover failures",
        "inter-cell interference", "link budgets", "energy saving in the RAN", "O-RAN fronthaul", "SON functions",
        "paging", "HARQ", "uplink power control", "the NG core", "private 5G", "VoNR", "small cells", "refarming",
        "numerologies", "EN-DC", "discontinuous reception", "RAN sharing", "edge computing", "RedCap devices",
    ),
    "reader": (
        "a new colleague", "the board", "our customers", "the regulator", "a sales team", "a mayor", "the press",
        *open_phrases.WORDS["audience"], "a landlord", "the works council", "schools", "an auditor", "a startup",
    ),
    "thing": (
        "a budget for new batteries", "a maintenance window on Sunday", "our outage last week", "the new 5G sites",
        "a training plan", "the tender for antennas", "the energy report", "rural coverage", "on-call duty in August",
        "spare parts", "the lease of a roof", "noise of the fans", "a stadium on match day", "our data centre",
        "tower crews", "the price of spectrum", "fibre to the sites", "storm damage", "the switch-off of 3G",
    ),
    "code": ("Python", "SQL", "bash", "Excel", "an Ansible playbook", "a Grafana panel", "a regular expression"),
    "job": (
        "count handovers by cell and hour", "find sites without a battery test this year", "merge two KPI exports",
        "plot throughput by distance", "list cells whose PCI is used twice within 5 km", "rename 400 cells by a table",
        "compare this week's drop rate with last week's", "warn when a counter stands still", "split a log by site",
        "draw coverage on a map", "date alarms to the second", "sum traffic by municipality", "sort tickets by age",
        "read a vendor's XML", "round coordinates", "mask phone numbers", "rank sectors by load", "fill gaps in a series",
    ),
}  # fmt: skip

# What an alarm says, by the class it belongs to.
ALARMS: dict[str, tuple[str, ...]] = {
    "power": (
        "[Mains input out of range|AC mains failure|Rectifier module fault], site on [battery|backup power]",
        "Battery [voltage low|discharging|test failed]: {many}% left",
        "[DC output|Power supply unit] [abnormal|fault] at {board}",
        "Generator [did not start|low on fuel], load on batteries since {hours}",
    ),
    "transmission": (
        "[S1|NG|X2|Xn] interface [fault|setup failure|link down]",
        "Ethernet link [down|flapping] on port {sector}, {many} [changes|transitions] in an hour",
        "[Packet loss|Jitter|Latency] on the backhaul above the threshold ({many} [‰|ms])",
        "Microwave hop [degraded|fading], [modulation stepped down|receive level low]",
    ),
    "hardware": (
        "[Board|Module] hardware fault at {board}",
        "{board} [not responding|restarts repeatedly|missing from the inventory]",
        "Optical module at {board}: [transmit power low|receive power abnormal|aged]",
    ),
    "cooling": (
        "[High temperature|Over-temperature|Temperature unacceptable] at {board}: {many} °C",
        "Fan [stalled|speed abnormal|failure] at {board}",
        "[Air conditioner|Heat exchanger] [fault|not running], cabinet at {many} °C",
    ),
    "antenna": (
        "VSWR [threshold crossed|too high] at {board}, sector {sector}",
        "[RET|Electrical tilt] [motor stuck|calibration lost|not responding] in sector {sector}",
        "Receive [diversity|path] imbalance of {many} dB in sector {sector}",
    ),
    "timing": (
        "[Clock reference|Time source|GNSS] [lost|unusable|problem], holdover since {hours}",
        "[PTP|IEEE 1588] [clock link|packets] [abnormal|lost]",
        "System clock [unlocked|drift above the limit]",
    ),
    "interference": (
        "Uplink [interference|noise] [high|above the threshold] in sector {sector} of {band}: -{many} dBm",
        "RSSI of {band} [raised|abnormal] in sector {sector}, [all hours|since {hours}]",
        "[Passive intermodulation|PIM|External interference] [detected|suspected] in sector {sector}",
    ),
    "capacity": (
        "PRB utilisation of {band} sector {sector} at {many}% [for an hour|since {hours}]",
        "[Licence|License] [limit|capacity] of [RRC users|bandwidth] reached",
        "[RRC connected users|Admission rejects] above the threshold in sector {sector}",
    ),
    "configuration": (
        "[Neighbour|External cell] [definition|relation] [missing|inconsistent] for sector {sector}",
        "PCI [conflict|confusion] [detected|reported] for sector {sector} of {band}",
        "[Parameter check|Configuration file] [failed|differs from the plan] after [activation|the upgrade]",
    ),
    "security": (
        "[Cabinet door|Shelter door] open since {hours}",
        "[Smoke|Water|Motion] sensor [triggered|active] in the shelter",
        "[IPsec tunnel|Certificate] [expired|about to expire|failed to renew]",
    ),
}
# Classes that a model mistakes for one another.
MISTAKEN = {
    "power": "cooling", "transmission": "timing", "hardware": "power", "cooling": "hardware", "antenna": "hardware",
    "timing": "transmission", "interference": "antenna", "capacity": "configuration", "configuration": "capacity",
    "security": "transmission",
}  # fmt: skip
ALARM_FRAMES = (
    "{site} {hours} MAJOR [alarm|event]: {alarm}",
    "NE={site}; raised {hours}; {alarm}",
    "[CRITICAL|MAJOR|MINOR|WARNING] {hours} {site}/{sector} - {alarm}",
    "{alarm} ({site}, {hours})",
    "{hours}: {alarm}; {site}, {many} times",
)

TICKET_OPENINGS = (
    "[Customers|Several customers] near {site} complain about [slow data|dropped calls|no 5G] since {hours}.",
    "[Drop rate|Throughput] of {site} sector {sector} is {many}% [worse than last week|off target].",
    "{site} [is down|was unreachable] since {hours}; {who} [was called|opened this ticket].",
)
TICKET_STEPS = (
    "{who} [restarted|reset|swapped] {board}; [no change|it helped for an hour|values are normal again].",
    "{who} found [a loose connector|water in the cable|a wrong parameter|nothing unusual] at {board}.",
    "[Traffic|Load] on {band} was moved to {site} [until the part arrives|for the night].",
    "[Spare part|Access to the roof] is [ordered|arranged] for {hours}.",
    "Counters of sector {sector} look [normal|worse|better] since {hours}.",
    "[Drive test|Speed test] at {hours}: {many} Mbps on {band}.",
)
SUMMARY_ENDINGS = (
    "[Next step|Open]: {who} checks again.",
    "Ticket [stays open|can be closed].",
    "No action needed now.",
)

QUESTIONS = (
    "[explain|describe|introduce] {topic} to {reader}",
    "[say|tell me|work out] how {topic} and {topic} [differ|go together|get in each other's way]",
    "[draft|write|prepare] [an e-mail|a short note|three slides|a speech] for {reader} about {thing}",
    "[write|give me|correct] {code} to {job}",
    "[suggest|find|sketch] [a way|the best way|a cheap way] to {job} with {code}",
    "[list|rank|collect] [risks|questions|costs] [of|around|behind] {thing}",
    "[compare|contrast] {topic} [in 4G and 5G|before and after Release 17|of two vendors], for {reader}",
    "[think of|name|invent] [five|three|ten] [ideas|measures|excuses] [about|for|against] {thing}",
    "[translate|shorten|rewrite] [our|last year's|the draft] [statement|leaflet|answer] on {thing} for {reader}",
    "[who|which team|what department|whose boss] [should|must|could] [own|look after|pay for] {thing}",
    "[is|was] it [wise|usual|legal] to {job} [by hand|every day|at night|with an intern|for free]",
    "[plan|outline|cost] a [workshop|visit|course] on {topic} for {reader}",
    "[check|criticise|improve] my [reasoning|slide|sum] on {topic}",
    "[guess|estimate|calculate] what {thing} [costs|saves|needs] [in|over|within] [a|one|this] [year|quarter|week|decade]",
    "[quiz|interview|coach|test|teach] me [on|about|for an exam on] {topic}",
    "[why|since when|where] [do|should|would] [operators|vendors|people|planners] [care about|argue over|measure] {topic}",
)
JOINTS = (" and ", ", and then ", "; also ", ". after that, ", " but first ")
SENTENCES = (
    "[In short|Put simply|First of all], {topic} [depends on|is a matter of|builds on] {topic}.",
    "[For {reader}|In practice], [start with|look at] {thing}.",
    "[One way is|You could use] {code} to {job}.",
    "[Note that|Keep in mind that] {topic} [changes with load|differs between vendors|needs measurements].",
    "[Finally|Then|Besides], [agree on|write down|measure] {thing}.",
)
